"""What is nan or infinite stops a run, is named, and never reaches a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from command_line import Say

from thaw.acting.finite import check_finite
from thaw.config.agent import AgentConfig
from thaw.config.errors import NotFinite
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.training.health import LARGEST_WEIGHT, Health, has_diverged
from thaw.training.run import execute_run

SPEC = RunSpec(
    condition="scratch",
    flavor=Flavor("gym/not_finite_envs:NotFinite-v0"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=40 * 12,
    environment={"num_envs": 4},
    agent=AgentConfig(
        embedding="mlp", embedding_size=8, lstm_size=6, fc_size=5, unroll_length=10,
        precision="float32", last_reward_input=False,
    ),
    evaluation=EvaluationConfig(episodes=4),
)  # fmt: skip
SAVE_ALWAYS = Runtime(checkpoint_seconds=0.0)


def spec_of(flavor: str = str(SPEC.flavor), **agent: Any) -> RunSpec:
    return msgspec.structs.replace(
        SPEC, flavor=Flavor(flavor), agent=msgspec.structs.replace(SPEC.agent, **agent)
    )


def assert_finite(folder: RunFolder) -> None:
    assert all(
        bool(torch.isfinite(t).all()) for _, t in load_policy(folder.path, trust_code=True).parts()
    )


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_an_environment_gives_is_named_and_nothing_of_it_is_saved(
    tmp_path: Path, what: str, value: str, clock: str, env_groups: int
) -> None:
    if value != "nan" and (clock == "lockstep" or env_groups == 2):
        pytest.skip("one clock is enough for these")
    spec = spec_of(
        f"gym/not_finite_envs:NotFinite-v0?what={what}&value={value}&at=75",
        clock=clock,
        env_groups=env_groups,
    )
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFinite) as caught:
        execute_run(spec, folder, SAVE_ALWAYS)
    message = str(caught.value)
    assert message.startswith(f"the {what} of environment 0 of {4 // env_groups} (counted from 0)")
    assert f"was {value} at step {75 * 4 // env_groups:,}; mend the environment; " in message
    saved = folder.saved_steps()
    assert saved >= 6 * 40
    assert f"the checkpoint of step {saved:,} is intact, and another try goes on" in message
    assert "\n" not in message
    assert_finite(folder)
    assert not folder.is_done
    execute_run(spec, folder, SAVE_ALWAYS)  # fewer than 75 steps are left
    assert folder.is_done


def test_a_run_that_fails_before_its_first_save_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFinite, match=r"no checkpoint was saved yet, so another try starts"):
        execute_run(spec_of("gym/not_finite_envs:NotFinite-v0?at=3"), folder, SAVE_ALWAYS)


def test_an_evaluation_counts_too(tmp_path: Path, say: Say) -> None:
    # Ten steps an episode, one episode for each environment: the eleventh is never reached.
    for at, status in ((11, 0), (10, 1)):
        spoken = say("evaluate", "random", f"gym/not_finite_envs:NotFinite-v0?value=inf&at={at}",
                     "--episodes", 1)  # fmt: skip
        assert spoken.status == status, spoken
    assert spoken.err == (
        "thaw: the reward of environment 0 of 1 (counted from 0) was inf at step 10; mend the "
        "environment\n"
    )


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
def test_a_loss_that_is_nan_is_named_and_never_saved(tmp_path: Path, clock: str) -> None:
    spec = spec_of(embedding="not_finite_envs:nan_while_learning", clock=clock)
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFinite) as caught:
        execute_run(spec, folder, SAVE_ALWAYS)
    assert str(caught.value) == (
        f"the loss became nan at update 8: learning_rate {spec.agent.learning_rate:g} may be too "
        "high; the checkpoint of step 280 is intact, and another try goes on from it"
    )
    assert folder.saved_steps() == 7 * 40
    assert_finite(folder)


def test_weights_that_overflow_are_never_saved(tmp_path: Path) -> None:
    # The loss of the first update is finite; only its step is not.
    spec = spec_of(learning_rate=1e38, max_gradient_norm=1e30, rmsprop_epsilon=1e-30)
    folder = RunFolder(tmp_path)
    with pytest.raises(NotFinite, match=r"of the policy is not finite after update 1: learning"):
        execute_run(spec, folder, SAVE_ALWAYS)
    assert folder.find_checkpoint() is None


def test_updates_that_wait_on_a_gpu_are_looked_at_together_and_the_first_is_named() -> None:
    learner = Learner(Policy((3,), 2, SPEC.agent), SPEC.agent, 100)
    health = Health(learner)
    health.pending = [
        (number, torch.tensor(values))
        for number, values in enumerate([[1.0, 2.0], [1.0, float("inf")], [float("nan"), 1.0]], 5)
    ]
    with pytest.raises(NotFinite, match=r"^the gradient norm became inf at update 6: learning_r"):
        health.check_updates()
    health.check()
    with torch.no_grad():
        next(iter(learner.parameters.values())).view(-1)[3] = float("inf")
    with pytest.raises(NotFinite, match=r"of the policy is not finite after update 0: learning"):
        health.check()


def test_images_and_counts_need_no_look() -> None:
    check_finite("observation", torch.zeros(2, 3, dtype=torch.uint8), 1)
    check_finite("observation", torch.zeros(2, dtype=torch.int64), 1)
    for dtype in (torch.float16, torch.float32, torch.float64):
        values = torch.zeros(2, 3, 4, dtype=dtype)
        check_finite("observation", values, 1)
        values[1, 2, 0] = float("nan")
        with pytest.raises(NotFinite, match=r"environment 1 of 2 \(counted from 0\) was nan at"):
            check_finite("observation", values, 1)


def test_a_run_that_diverges_in_finite_numbers_is_marked(tmp_path: Path) -> None:
    wild = spec_of(learning_rate=3e3, max_gradient_norm=1e30, rmsprop_epsilon=1e-30)
    result = execute_run(wild, RunFolder(tmp_path / "wild"), SAVE_ALWAYS)
    assert result["diverged"] is True
    assert RunFolder(tmp_path / "wild").result()["diverged"] is True
    assert "diverged" not in execute_run(spec_of(), RunFolder(tmp_path / "calm"), SAVE_ALWAYS)


def test_the_bound_of_a_weight() -> None:
    policy = Policy((3,), 2, SPEC.agent)
    assert not has_diverged(policy)
    bias = next(policy.parameters())
    for value, expected in ((-LARGEST_WEIGHT, False), (-LARGEST_WEIGHT * 1.01, True)):
        with torch.no_grad():
            bias.view(-1)[0] = value
        assert has_diverged(policy) == expected
