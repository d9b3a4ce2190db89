"""The asynchronous clock: actors act all the time, the learner batches what comes.

Espeholt et al. 2018 (IMPALA), section 3. Where the actors live is not this module's business.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thaw.acting.remote.messages import Actors, Delivery
from thaw.impala.learner import Learner
from thaw.training.clocks import Update
from thaw.trajectory import EpisodeStats, Trajectory


class Unsaved:
    """Stands for the actors in a checkpoint: a resumed run starts new episodes."""

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return nothing."""
        return {}

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take nothing."""


class Asynchronous:
    """Learn from whichever unrolls arrive next; the policy lag is what it is, and is measured.

    A batch holds the unrolls of ``num_envs`` environments in the order of their arrival, however
    many each actor sends, so that every update learns from as much as under the other clocks.

    Args:
        actors: Where unrolls come from; ended by :meth:`close`.
        learner: Learns from them.
        num_envs: Unrolls of one batch.
    """

    def __init__(self, actors: Actors, learner: Learner, num_envs: int) -> None:
        self.actors = actors
        self.learner = learner
        self.num_envs = num_envs
        self.collector = Unsaved()
        self.learned_steps = 0
        self.earlier_restarts = 0
        self.dropped_steps = 0
        self.batch: dict[str, NDArray[Any]] = {}
        self.versions = np.zeros(num_envs, np.int64)
        self.delivery: Delivery | None = None
        self.num_used = 0
        self.last_update_seconds: float | None = None

    def update(self, *, last: bool) -> Update:
        """Wait for a batch, learn from it and publish the new weights."""
        del last
        started = time.monotonic()
        if self.last_update_seconds is None:
            self.publish()
            self.last_update_seconds = started
        waiting = time.monotonic()
        episodes = self.receive_batch()
        waited_seconds = time.monotonic() - waiting
        lags = self.learner.num_updates - self.versions

        tensors: dict[str, Any] = {n: torch.from_numpy(array) for n, array in self.batch.items()}
        trajectory = Trajectory(**({"observations": None, "embeddings": None} | tensors))
        metrics = self.learner.update(trajectory, self.learned_steps)
        num_steps = int(trajectory.valid.sum())
        self.learned_steps += num_steps
        self.publish()

        ended = time.monotonic()
        fraction = waited_seconds / max(1e-9, ended - self.last_update_seconds)
        self.last_update_seconds = ended
        return Update(
            num_steps,
            metrics
            | {
                "mean_policy_lag": torch.tensor(lags.mean()),
                "max_policy_lag": torch.tensor(lags.max()),
                "learner_wait_fraction": torch.tensor(fraction),
                "actor_restarts": torch.tensor(self.earlier_restarts + self.actors.num_restarts),
                "dropped_steps": torch.tensor(self.dropped_steps),
            },
            # An actor counts its own steps only; these episodes belong to what was learned by now.
            [episode._replace(step=self.learned_steps) for episode in episodes],
        )

    def receive_batch(self) -> list[EpisodeStats]:
        """Fill the batch; what a delivery holds beyond it begins the next one."""
        episodes: list[EpisodeStats] = []
        row = 0
        while row < self.num_envs:
            if self.delivery is None:
                self.delivery, self.num_used = self.actors.receive(), 0
                episodes += self.delivery.episodes
                self.dropped_steps += self.delivery.dropped_steps
            unroll, begin = self.delivery.unroll, self.num_used
            if not self.batch:
                self.batch = {name: self.room_for(array) for name, array in unroll.items()}
            num_rows = unroll["actions"].shape[1]
            count = min(num_rows - begin, self.num_envs - row)
            for name, array in unroll.items():
                self.batch[name][:, row : row + count] = array[:, begin : begin + count]
            self.versions[row : row + count] = self.delivery.version
            row, self.num_used = row + count, begin + count
            if self.num_used == num_rows:
                self.delivery = None
        return episodes

    def room_for(self, array: NDArray[Any]) -> NDArray[Any]:
        """Make an array as an unroll's, with the batch's B."""
        return np.empty((array.shape[0], self.num_envs, *array.shape[2:]), array.dtype)

    def publish(self) -> None:
        """Give the actors the learner's weights and statistics."""
        weights = {
            name: tensor.detach().cpu().numpy() for name, tensor in self.learner.policy.parts()
        }
        self.actors.publish(weights, self.learner.num_updates)

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return what was counted; unrolls on their way are dropped."""
        return {
            "actor_restarts": torch.tensor(self.earlier_restarts + self.actors.num_restarts),
            "dropped_steps": torch.tensor(self.dropped_steps),
        }

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with such counts."""
        self.earlier_restarts = int(state["actor_restarts"])
        self.dropped_steps = int(state["dropped_steps"])

    def close(self) -> None:
        """End the actors."""
        self.actors.close()
