"""Rates of parts that survive other people's schedules of the learning rate.

Training loops write the rate of a schedule into their optimizer. CleanRL's write it into the first
group only (``optimizer.param_groups[0]["lr"] = lrnow``), so the other groups never anneal.
Stable-Baselines3 writes it into every group at each update, so all groups get one rate. Therefore
the groups hold no rate of their own between two steps: in each step, every group of thaw gets the
first one's rate times its own number.
"""

from __future__ import annotations

from typing import Any

from torch.optim import optimizer as optimizers

TIMES = "thaw_times"
"""Key of a group: how many times the optimizer's rate its parameters have."""
_WRITTEN = "thaw_written_lr"


def _scale(optimizer: optimizers.Optimizer, *_: Any) -> None:
    """Give each group its own rate for one step."""
    groups = [group for group in optimizer.param_groups if TIMES in group]
    written = groups[0]["lr"] if groups else None
    for group in groups:
        group[_WRITTEN] = written
        group["lr"] = written * group[TIMES]


def _restore(optimizer: optimizers.Optimizer, *_: Any) -> None:
    """Give all groups the rate that the loop has written."""
    for group in optimizer.param_groups:
        if _WRITTEN in group:
            group["lr"] = group.pop(_WRITTEN)


# For every optimizer, so that nobody can forget it; groups without the key stay as they are.
optimizers.register_optimizer_step_pre_hook(_scale)
optimizers.register_optimizer_step_post_hook(_restore)
