from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thaw.impala.vtrace import VTrace, vtrace

Array = NDArray[np.float64]
Data = dict[str, Any]  # tensors, to be passed on as keywords


def oracle(
    log_rhos: Array,
    discounts: Array,
    rewards: Array,
    values: Array,
    bootstrap_value: Array,
    rho_bar: float | None,
    c_bar: float | None,
    pg_rho_bar: float | None,
    lambda_: float,
) -> tuple[Array, Array]:
    """V-trace as it is defined: a double sum with products, one number at a time."""
    steps, batch = rewards.shape
    v = np.concatenate([values, bootstrap_value[None]])
    vs = v.copy()
    for b in range(batch):
        for s in range(steps):
            for t in range(s, steps):
                product = 1.0
                for i in range(s, t):
                    ratio = np.exp(log_rhos[i, b])
                    c = lambda_ * (ratio if c_bar is None else min(c_bar, ratio))
                    product *= discounts[i, b] * c
                ratio = np.exp(log_rhos[t, b])
                rho = ratio if rho_bar is None else min(rho_bar, ratio)
                delta = rho * (rewards[t, b] + discounts[t, b] * v[t + 1, b] - v[t, b])
                vs[s, b] += product * delta
    advantages = np.empty_like(values)
    for b in range(batch):
        for s in range(steps):
            ratio = np.exp(log_rhos[s, b])
            weight = ratio if pg_rho_bar is None else min(pg_rho_bar, ratio)
            advantages[s, b] = weight * (
                rewards[s, b] + discounts[s, b] * vs[s + 1, b] - values[s, b]
            )
    return vs[:-1], advantages


def made_up(steps: int = 7, batch: int = 4, seed: int = 0) -> Data:
    """Off-policy on both sides of every clip, with ends of episodes inside."""
    rng = np.random.default_rng(seed)
    discounts = np.where(
        rng.random((steps, batch)) < 0.25, 0.0, rng.uniform(0.5, 1, (steps, batch))
    )
    arrays = {
        "log_rhos": rng.normal(0, 1, (steps, batch)),
        "discounts": discounts,
        "rewards": rng.normal(0, 2, (steps, batch)),
        "values": rng.normal(0, 2, (steps, batch)),
        "bootstrap_value": rng.normal(0, 2, batch),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def test_made_up_data_reach_both_sides_of_the_clips_and_ends_of_episodes() -> None:
    data = made_up()
    for clip in (0.6, 1.0, 1.7):
        assert (data["log_rhos"].exp() > clip).any()
        assert (data["log_rhos"].exp() < clip).any()
    assert (data["discounts"][1:-1] == 0).any()
    assert (data["discounts"] > 0).any()


@pytest.mark.parametrize("lambda_", [1.0, 0.7, 0.0])
@pytest.mark.parametrize(
    ("rho_bar", "c_bar", "pg_rho_bar"), list(itertools.product([None, 0.6, 1.0, 1.7], repeat=3))
)
def test_equals_the_definition(
    rho_bar: float | None, c_bar: float | None, pg_rho_bar: float | None, lambda_: float
) -> None:
    data = made_up()
    expected = oracle(
        **{name: tensor.numpy() for name, tensor in data.items()},
        rho_bar=rho_bar, c_bar=c_bar, pg_rho_bar=pg_rho_bar, lambda_=lambda_,
    )  # fmt: skip
    actual = vtrace(
        **data, rho_bar=rho_bar, c_bar=c_bar, pg_rho_bar=pg_rho_bar, lambda_=lambda_
    )  # fmt: skip
    np.testing.assert_allclose(actual.vs, expected[0], rtol=1e-12)
    np.testing.assert_allclose(actual.pg_advantages, expected[1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (12, 1)])
def test_equals_the_definition_for_other_sizes_and_by_default_all_clips_are_1(
    steps: int, batch: int
) -> None:
    data = made_up(steps, batch, seed=steps)
    expected = oracle(
        **{name: tensor.numpy() for name, tensor in data.items()},
        rho_bar=1.0, c_bar=1.0, pg_rho_bar=1.0, lambda_=1.0,
    )  # fmt: skip
    actual = vtrace(**data)
    np.testing.assert_allclose(actual.vs, expected[0], rtol=1e-12)
    np.testing.assert_allclose(actual.pg_advantages, expected[1], rtol=1e-11, atol=1e-13)


def test_single_precision_stays_close_to_the_definition() -> None:
    data = made_up(steps=20, batch=8)
    exact, single = vtrace(**data), vtrace(**{k: v.float() for k, v in data.items()})
    assert single.vs.dtype == torch.float32
    np.testing.assert_allclose(single.vs, exact.vs, rtol=1e-4, atol=1e-5)


def test_one_step_by_hand() -> None:
    # ratio > 1, so every weight is 1: v = r + discount x bootstrap.
    result = vtrace(
        log_rhos=torch.tensor([[0.6515479694]], dtype=torch.float64),
        discounts=torch.tensor([[0.99]], dtype=torch.float64),
        rewards=torch.tensor([[0.7751703465]], dtype=torch.float64),
        values=torch.tensor([[0.5993050874]], dtype=torch.float64),
        bootstrap_value=torch.tensor([3.49385474], dtype=torch.float64),
    )
    assert result.vs.item() == pytest.approx(4.2340865391, abs=1e-10)
    assert result.pg_advantages.item() == pytest.approx(3.6347814517, abs=1e-10)


@pytest.mark.parametrize("c_bar", [None, 1.0, 2.0])
def test_on_policy_the_targets_are_n_step_returns(c_bar: float | None) -> None:
    data = made_up()
    data["log_rhos"] = torch.zeros_like(data["log_rhos"])
    result = vtrace(**data, c_bar=c_bar)
    expected = data["bootstrap_value"]
    for t in reversed(range(len(data["rewards"]))):
        advantage = data["rewards"][t] + data["discounts"][t] * expected - data["values"][t]
        np.testing.assert_allclose(result.pg_advantages[t], advantage, rtol=1e-11)
        expected = data["rewards"][t] + data["discounts"][t] * expected
        np.testing.assert_allclose(result.vs[t], expected, rtol=1e-11)


def test_nothing_behind_the_end_of_an_episode_reaches_back() -> None:
    data = made_up()
    data["discounts"][3] = 0
    changed = {name: tensor.clone() for name, tensor in data.items()}
    for name in ("log_rhos", "rewards", "values"):
        changed[name][4:] = 100.0 if name != "log_rhos" else 3.0
    changed["bootstrap_value"] += 1000
    before, after = vtrace(**data), vtrace(**changed)
    assert torch.equal(before.vs[:4], after.vs[:4])
    assert torch.equal(before.pg_advantages[:4], after.pg_advantages[:4])
    assert not torch.isclose(before.vs[4:], after.vs[4:]).any()


def test_results_carry_no_gradient() -> None:
    data = {name: tensor.requires_grad_() for name, tensor in made_up().items()}
    result = vtrace(**data)
    assert not result.vs.requires_grad
    assert not result.pg_advantages.requires_grad


@pytest.mark.parametrize("name", ["log_rhos", "discounts", "rewards", "values", "bootstrap_value"])
@pytest.mark.parametrize("wrong", ["one axis more", "one axis less", "one environment more"])
def test_a_wrong_shape_is_refused_by_name(name: str, wrong: str) -> None:
    data = made_up()
    tensor = data[name]
    data[name] = {
        "one axis more": tensor.unsqueeze(-1),
        "one axis less": tensor[0],
        "one environment more": torch.cat((tensor, tensor[..., :1]), dim=-1),
    }[wrong]
    # The first tensor sets the sizes, so another one is blamed where only the first is larger.
    blamed = "discounts" if name == "log_rhos" and wrong == "one environment more" else name
    with pytest.raises(ValueError, match=rf"^{blamed} has shape \[.*\], expected \[.*B="):
        vtrace(**data)


def test_is_the_package_s_public_function() -> None:
    import thaw

    result = thaw.vtrace(**made_up(), rho_bar=None)
    assert isinstance(result, VTrace)
