"""Returns and lengths of the current episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thaw.policy.trajectory import EpisodeStats


class EpisodeTracker:
    """Adds up each environment's rewards and steps until its episode ends.

    Args:
        num_envs: B.
    """

    def __init__(self, num_envs: int) -> None:
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)

    def add(
        self,
        rewards: NDArray[np.float64],
        valid: NDArray[np.bool_],
        ended: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        num_steps: int,
    ) -> list[EpisodeStats]:
        """Count one step of all environments.

        Args:
            rewards: [B], not clipped; 0 where not valid.
            valid: [B], False where the environment spent the step on its reset.
            ended: [B], where an episode ended with this step, and nothing continues it.
            truncated: [B], where this end was a truncation.
            num_steps: Steps of all environments so far, this one included.

        Returns:
            The episodes that ended, in the order of their environments.
        """
        self.returns += rewards
        self.lengths += valid
        finished = [
            EpisodeStats(
                step=num_steps,
                episode_return=float(self.returns[index]),
                length_steps=int(self.lengths[index]),
                environment=int(index),
                truncated=bool(truncated[index]),
            )
            for index in np.flatnonzero(ended)
        ]
        self.returns[ended] = 0.0
        self.lengths[ended] = 0
        return finished
