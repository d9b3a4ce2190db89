"""What environments give must be finite: one nan would spread to every weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thaw.config.errors import NotFinite


def check_finite(what: str, values: NDArray[Any] | torch.Tensor, num_steps: int) -> None:
    """Check rewards or observations where they come in.

    Args:
        what: Their name in the error.
        values: [B, ...], one entry for each environment; integers, such as images, always pass.
        num_steps: Steps of all environments so far.

    Raises:
        NotFinite: One is nan or infinite; the message names the environment and the step.
    """
    if isinstance(values, torch.Tensor):
        if not values.is_floating_point():
            return
        values = values.double().cpu().numpy() if values.is_cuda else values.numpy()
    elif values.dtype.kind != "f":
        return
    finite = np.isfinite(values)
    if finite.all():
        return
    first = np.argwhere(~finite)[0]
    raise NotFinite(
        f"the {what} of environment {first[0]} of {len(values)} (counted from 0) was "
        f"{values[tuple(first)]} at step {num_steps:,}; mend the environment"
    )
