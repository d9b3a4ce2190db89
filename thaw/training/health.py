"""Whether learning goes well: no loss, gradient or weight that is nan, infinite or absurd."""

from __future__ import annotations

import math

import torch

from thaw.config.errors import NotFinite
from thaw.impala.learner import Learner
from thaw.policy import Policy

LARGEST_WEIGHT = 1e4
"""A run with a greater weight at its end has diverged.

RMSProp moves a weight by at most ``learning_rate / sqrt(1 - rmsprop_decay)`` in an update, 0.006
with IMPALA's values. From initial weights below 1, two million such steps in one direction lead
here.
"""


class Health:
    """Remembers loss and gradient norm of each update until they are looked at.

    On a GPU, looking waits for all work under way. So that happens at a save and at a row of
    progress.csv only, which wait anyway; on the CPU it happens at every update.

    Args:
        learner: Makes the updates.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.pending: list[tuple[int, torch.Tensor]] = []

    def take(self, metrics: dict[str, torch.Tensor]) -> None:
        """Take in the metrics of the newest update.

        Raises:
            NotFinite: On the CPU, if the loss or the gradient norm is nan or infinite.
        """
        values = torch.stack([metrics["total_loss"], metrics["gradient_norm"]])
        self.pending.append((self.learner.num_updates, values))
        if values.device.type == "cpu":
            self.check_updates()

    def check_updates(self) -> None:
        """Look at all updates since the last look.

        Raises:
            NotFinite: A loss or gradient norm was nan or infinite; the first one is named.
        """
        if not self.pending:
            return
        numbers = [number for number, _ in self.pending]
        rows = torch.stack([values for _, values in self.pending]).tolist()
        self.pending.clear()
        for number, row in zip(numbers, rows, strict=True):
            for what, value in zip(("loss", "gradient norm"), row, strict=True):
                if not math.isfinite(value):
                    raise NotFinite(
                        f"the {what} became {value} at update {number:,}: {self._advice}"
                    )

    def check(self) -> None:
        """Look at all updates and at the weights; call it before they are saved.

        Raises:
            NotFinite: A loss, gradient norm, weight or statistic is nan or infinite.
        """
        self.check_updates()
        for name, tensor in self.learner.policy.parts():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NotFinite(
                    f"'{name}' of the policy is not finite after update "
                    f"{self.learner.num_updates:,}: {self._advice}"
                )

    @property
    def _advice(self) -> str:
        return f"learning_rate {self.learner.config.learning_rate:g} may be too high"


def has_diverged(policy: Policy) -> bool:
    """Whether a weight is greater than any that learns something: see LARGEST_WEIGHT."""
    return any(
        float(parameter.detach().abs().max()) > LARGEST_WEIGHT
        for parameter in policy.parameters()
        if parameter.numel()
    )
