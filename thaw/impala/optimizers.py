"""The optimizers that an agent can name; IMPALA's own is the default."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch

from thaw.config.agent import AgentConfig


class Optimizer(Protocol):
    """What the learner needs of an optimizer; torch's have it."""

    param_groups: list[dict[str, Any]]
    state: Any
    """By parameter: its tensors by name."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Move every parameter that has a gradient."""


class RMSProp:
    """RMSProp as TensorFlow has it, and so IMPALA's code.

    It differs from PyTorch's in three ways. The mean square starts at 1, so that the first steps
    are small; PyTorch's starts at 0, and its first step is ``1 / sqrt(1 - decay)`` times the
    learning rate, ten times by default. Epsilon is added inside the root. The learning rate is part
    of what momentum accumulates. docs/reproducing.md, point 17, says what was measured.

    It is no ``torch.optim.Optimizer``, whose constructor imports torch's compiler for two seconds.

    Args:
        groups: What trains, in groups with a learning rate ``lr`` each.
        decay: Of the mean square.
        eps: Added to the mean square, inside the root.
        momentum: 0 for none.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        decay: float,
        eps: float,
        momentum: float,
    ) -> None:
        self.decay, self.eps, self.momentum = decay, eps, momentum
        self.param_groups = list(groups)
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
        for parameter in itertools.chain(*(group["params"] for group in self.param_groups)):
            state = self.state[parameter] = {"square_avg": torch.ones_like(parameter)}
            if momentum > 0:
                state["momentum_buffer"] = torch.zeros_like(parameter)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if moved:
                self._move([p for p, _ in moved], [gradient for _, gradient in moved], group["lr"])

    def _move(
        self,
        parameters: list[torch.Tensor],
        gradients: list[torch.Tensor],
        lr: float | torch.Tensor,
    ) -> None:
        squares = [self.state[p]["square_avg"] for p in parameters]
        torch._foreach_mul_(squares, self.decay)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.decay)
        steps: Any = torch._foreach_add(squares, self.eps)
        torch._foreach_rsqrt_(steps)
        torch._foreach_mul_(steps, gradients)
        torch._foreach_mul_(steps, lr)
        if self.momentum > 0:
            velocities = [self.state[p]["momentum_buffer"] for p in parameters]
            torch._foreach_mul_(velocities, self.momentum)
            torch._foreach_add_(velocities, steps)
            steps = velocities
        torch._foreach_sub_(parameters, steps)


def build_optimizer(
    parameters: Mapping[float, Sequence[torch.nn.Parameter]],
    config: AgentConfig,
    device: torch.device,
) -> Optimizer:
    """Build the optimizer that the agent names.

    Args:
        parameters: What trains, all on the device, by how many times the agent's learning rate;
            each becomes a group, whose key ``scale`` is that number.
        config: Names the optimizer and has its settings.
        device: On a GPU the optimizer can be captured in a CUDA graph.
    """
    is_captured = device.type == "cuda"
    groups = []
    for scale, group in parameters.items():
        rate: Any = config.learning_rate * scale
        if is_captured:  # a CUDA graph can only see a change in the memory of the device
            rate = torch.tensor(rate, device=device)
        groups.append({"params": list(group), "lr": rate, "scale": scale})
    match config.optimizer:
        case "rmsprop":
            return RMSProp(
                groups,
                decay=config.rmsprop_decay,
                eps=config.rmsprop_epsilon,
                momentum=config.rmsprop_momentum,
            )
        case "rmsprop_torch":
            return torch.optim.RMSprop(
                groups,
                alpha=config.rmsprop_decay,
                eps=config.rmsprop_epsilon,
                momentum=config.rmsprop_momentum,
                foreach=True,
                capturable=is_captured,
            )
        case "rmsprop_unbiased":
            # Adam without its first moment is RMSProp with the correction for the start at 0.
            betas, eps = (0.0, config.rmsprop_decay), config.rmsprop_epsilon
        case "adam":
            betas, eps = (0.9, 0.999), config.adam_epsilon
    return torch.optim.Adam(groups, betas=betas, eps=eps, foreach=True, capturable=is_captured)
