"""The asynchronous clock: actors act all the time, the learner learns from batches of unrolls.

Espeholt et al. 2018 (IMPALA), section 3. :mod:`thaw.acting.remote` starts the actors.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thaw.acting.remote.messages import Actors, Delivery
from thaw.impala.learner import Learner
from thaw.policy.trajectory import EpisodeStats, Trajectory
from thaw.training.clocks import Update


class Asynchronous:
    """Learn from unrolls in the order of their arrival; the policy lag varies and is measured.

    A batch has ``num_envs`` columns, one for each unroll of one environment, no matter which actor
    sent it. So every update learns from as many steps as under the other clocks.

    Args:
        actors: Send the unrolls; :meth:`close` ends them.
        learner: Learns from the batches.
        num_envs: Columns of one batch.
    """

    def __init__(self, actors: Actors, learner: Learner, num_envs: int) -> None:
        self.actors = actors
        self.learner = learner
        self.num_envs = num_envs
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
            # An actor counts only its own steps; progress is counted in the learner's steps.
            [episode._replace(step=self.learned_steps) for episode in episodes],
        )

    def receive_batch(self) -> list[EpisodeStats]:
        """Fill the batch; columns of a delivery that do not fit begin the next batch."""
        episodes: list[EpisodeStats] = []
        column = 0
        while column < self.num_envs:
            if self.delivery is None:
                self.delivery, self.num_used = self.actors.receive(), 0
                episodes += self.delivery.episodes
                self.dropped_steps += self.delivery.dropped_steps
            unroll, begin = self.delivery.unroll, self.num_used
            if not self.batch:
                self.batch = {name: self.empty_batch(array) for name, array in unroll.items()}
            num_columns = unroll["actions"].shape[1]
            count = min(num_columns - begin, self.num_envs - column)
            for name, array in unroll.items():
                self.batch[name][:, column : column + count] = array[:, begin : begin + count]
            self.versions[column : column + count] = self.delivery.version
            column, self.num_used = column + count, begin + count
            if self.num_used == num_columns:
                self.delivery = None
        return episodes

    def empty_batch(self, array: NDArray[Any]) -> NDArray[Any]:
        """Allocate the batch for one field of the unrolls."""
        return np.empty((array.shape[0], self.num_envs, *array.shape[2:]), array.dtype)

    def publish(self) -> None:
        """Give the actors the learner's weights and statistics."""
        weights = {
            name: tensor.detach().cpu().numpy() for name, tensor in self.learner.policy.parts()
        }
        self.actors.publish(weights, self.learner.num_updates)

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return the counts. Pending unrolls are lost: a resumed run starts new episodes."""
        return {
            "clock/actor_restarts": torch.tensor(self.earlier_restarts + self.actors.num_restarts),
            "clock/dropped_steps": torch.tensor(self.dropped_steps),
        }

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such counts."""
        self.earlier_restarts = int(state["clock/actor_restarts"])
        self.dropped_steps = int(state["clock/dropped_steps"])

    def close(self) -> None:
        """End the actors."""
        self.actors.close()
