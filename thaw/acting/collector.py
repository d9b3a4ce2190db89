"""Several actors at once: each has a group of the run's environments and its own thread.

While the emulators of one group step, the network processes the images of another group.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.policy import Policy
from thaw.policy.cuda import SideStream
from thaw.policy.trajectory import EmbeddingGraph, EpisodeStats, Trajectory


class Collector:
    """Fills unrolls with one or more actors; a single actor runs in the calling thread.

    The result does not depend on which group is faster: each has its own environments, random
    numbers and columns of the unroll.

    Args:
        actors: One for each group, all with the same number of environments, in the order of
            the columns. They share a policy, which must not change while they collect.
    """

    def __init__(self, actors: Sequence[Actor]) -> None:
        self.actors = tuple(actors)
        self.group_size = self.actors[0].env.num_envs
        assert all(actor.env.num_envs == self.group_size for actor in self.actors)
        num_groups, device = len(self.actors), self.actors[0].device
        num_threads = max(1, torch.get_num_threads() // num_groups)
        self.threads = ThreadPoolExecutor(
            num_groups, "group", initializer=torch.set_num_threads, initargs=(num_threads,)
        )
        # On a GPU, one group's images must not wait for another group's.
        self.streams = [SideStream(device) for _ in self.actors]

    @property
    def num_steps(self) -> int:
        """Decisions made so far."""
        return sum(actor.num_steps for actor in self.actors)

    @property
    def dropped_steps(self) -> int:
        """Decisions so far that came too late for real-time environments."""
        return sum(actor.dropped_steps for actor in self.actors)

    def empty_trajectory(self, config: AgentConfig, *, store_embeddings: bool) -> Trajectory:
        """Allocate one unroll of all environments."""
        return empty_trajectory(
            self.actors[0],
            config,
            store_embeddings=store_embeddings,
            num_actors=len(self.actors),
        )

    def collect(self, trajectory: Trajectory, discount: float) -> list[EpisodeStats]:
        """Fill one unroll of T steps in every environment.

        Args:
            trajectory: The memory to fill; its content is overwritten.
            discount: Discount of every step that does not end its episode.

        Returns:
            The episodes that finished, in raw reward, in order of time.
        """
        if len(self.actors) == 1:
            return collect(self.actors[0], trajectory, discount)
        begun = [actor.num_steps for actor in self.actors]
        asked = self.streams[0].mark()
        groups = [
            self.threads.submit(self._collect_group, group, trajectory, discount, asked)
            for group in range(len(self.actors))
        ]
        wait(groups)  # even after an error: no thread may still be writing to the unroll
        found = [group.result() for group in groups]
        for stream in self.streams:
            stream.join()
        return self._in_order(found, begun, trajectory.valid)

    def play(self, policy: Policy, *, keep_graph: bool) -> None:
        """Act with another policy from now on, which has the same weights.

        Args:
            policy: Of all actors.
            keep_graph: Compute embeddings with gradients, and keep their graph.
        """
        for actor in self.actors:
            actor.policy, actor.keeps_graph, actor.portions = policy, keep_graph, []
            actor.invalidate()

    def take_graph(self) -> EmbeddingGraph | None:
        """Return the graph of the last unroll's embeddings, if the actors keep it; only once."""
        if not self.actors[0].keeps_graph:
            return None
        graph = EmbeddingGraph(len(self.actors))
        for portions, actor in zip(graph.portions, self.actors, strict=True):
            portions += actor.portions
            actor.portions = []
        return graph

    def _collect_group(
        self, group: int, trajectory: Trajectory, discount: float, asked: torch.cuda.Event | None
    ) -> list[EpisodeStats]:
        columns = trajectory.columns(group * self.group_size, (group + 1) * self.group_size)
        with self.streams[group].after(asked):
            return collect(self.actors[group], columns, discount)

    def _in_order(
        self, found: list[list[EpisodeStats]], begun: list[int], valid: torch.Tensor
    ) -> list[EpisodeStats]:
        """Return the episodes with the steps that one actor of all environments would count.

        Args:
            found: Episodes by group; ``step`` counts only the group's steps.
            begun: Steps of each group before the unroll.
            valid: The unroll's valid steps, [T, B] bool.
        """
        steps_by_t = sum(begun) + valid.sum(1).cumsum(0)
        episodes = []
        for group, (ended, before) in enumerate(zip(found, begun, strict=True)):
            first = group * self.group_size
            steps_of_group = before + valid[:, first : first + self.group_size].sum(1).cumsum(0)
            for episode in ended:
                t = int(torch.searchsorted(steps_of_group, episode.step))
                episodes.append(
                    episode._replace(
                        step=int(steps_by_t[t]), environment=first + episode.environment
                    )
                )
        return sorted(episodes, key=lambda episode: (episode.step, episode.environment))

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return everything that the next unrolls depend on, as tensors."""
        return {
            f"{self._prefix(group)}{name}": tensor
            for group, actor in enumerate(self.actors)
            for name, tensor in actor.get_state().items()
        }

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state, as :meth:`Actor.set_state` does."""
        for group, actor in enumerate(self.actors):
            prefix = self._prefix(group)
            actor.set_state(
                {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
            )

    def _prefix(self, group: int) -> str:
        return f"{group}/" if len(self.actors) > 1 else ""

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown(wait=True, cancel_futures=True)
