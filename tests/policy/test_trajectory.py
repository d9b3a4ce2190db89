from __future__ import annotations

import dataclasses

import pytest
import torch

from thaw.policy.trajectory import Trajectory, check_shapes

T, B, A, D, H = 4, 3, 5, 6, 2


def trajectory(**changes: torch.Tensor | None) -> Trajectory:
    tensors: dict[str, torch.Tensor | None] = {
        "observations": torch.zeros(T + 1, B, 7, 7, 3, dtype=torch.uint8),
        "embeddings": None,
        "first": torch.zeros(T + 1, B, dtype=torch.bool),
        "last_actions": torch.zeros(T + 1, B, dtype=torch.int64),
        "last_rewards": torch.zeros(T + 1, B),
        "actions": torch.zeros(T, B, dtype=torch.int64),
        "rewards": torch.zeros(T, B),
        "discounts": torch.zeros(T, B),
        "bootstraps": torch.zeros(T, B),
        "behavior_logits": torch.zeros(T, B, A),
        "valid": torch.ones(T, B, dtype=torch.bool),
        "state": torch.zeros(2, B, H),
    }
    return Trajectory(**(tensors | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(Trajectory) if f.name not in ("embeddings",)]
)
def test_a_trajectory_refuses_a_tensor_that_is_one_too_long(name: str) -> None:
    tensor = getattr(trajectory(), name)
    axis = 0 if name != "actions" else 1  # the actions' first axis sets T itself
    longer = torch.cat((tensor, tensor.narrow(axis, 0, 1)), dim=axis)
    blamed = "inputs" if name in ("observations", "actions") else name
    with pytest.raises(ValueError, match=rf"^{blamed} has shape \["):
        trajectory(**{name: longer})


def test_a_trajectory_holds_observations_or_embeddings() -> None:
    embedded = trajectory(observations=None, embeddings=torch.zeros(T + 1, B, D))
    assert "observations" not in embedded.tensors()
    assert "embeddings" in embedded.tensors()
    assert "embeddings" not in trajectory().tensors()
    with pytest.raises(AssertionError):
        trajectory(observations=None)


def test_moving_a_trajectory_keeps_types_and_what_is_absent() -> None:
    moved = trajectory().copy_to(torch.device("meta"))
    assert moved.embeddings is None
    for name, tensor in trajectory().tensors().items():
        assert moved.tensors()[name].device.type == "meta"
        assert moved.tensors()[name].dtype == tensor.dtype
    assert moved.observations is not None
    assert moved.observations.dtype == torch.uint8


def test_shapes_are_remembered_from_one_tensor_to_the_next() -> None:
    check_shapes({}, a=(torch.zeros(2, 3), "T B"), b=(torch.zeros(3, 2), "B T"))
    with pytest.raises(ValueError, match=r"^b has shape \[2, 3\], expected \[B=3, T=2\]$"):
        check_shapes({}, a=(torch.zeros(2, 3), "T B"), b=(torch.zeros(2, 3), "B T"))


def test_known_sizes_and_ranks_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^a has shape \[4\], expected \[T=5\]$"):
        check_shapes({"T": 5}, a=(torch.zeros(4), "T"))
    with pytest.raises(ValueError, match=r"^a has shape \[5, 1\], expected \[T=5\]$"):
        check_shapes({"T": 5}, a=(torch.zeros(5, 1), "T"))
    with pytest.raises(ValueError, match=r"^a has shape \[5\], expected \[T=5, B=\?\]$"):
        check_shapes({"T": 5}, a=(torch.zeros(5), "T B"))


def test_dots_allow_further_axes_but_not_fewer() -> None:
    for shape in ((5, 2), (5, 2, 1), (5, 2, 7, 7, 3)):
        check_shapes({"T": 5}, a=(torch.zeros(shape), "T B ..."))
    with pytest.raises(ValueError, match=r"^a has shape \[5\]"):
        check_shapes({"T": 5}, a=(torch.zeros(5), "T B ..."))
