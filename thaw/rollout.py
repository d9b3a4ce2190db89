"""The acting loop: :class:`Actor` makes decisions, ``collect`` fills unrolls, ``evaluate`` scores.

Auto-reset is handled here and nowhere else. ``T``, ``B``, ... as in :mod:`thaw.types`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from thaw.config import AgentConfig
from thaw.graphs import Replayed
from thaw.plain import InputError
from thaw.policy import Acting
from thaw.types import EpisodeStats, PolicyOutput, Trajectory

VectorEnv = gymnasium.vector.VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]


@runtime_checkable
class Restorable(Protocol):
    """An environment whose whole state can be saved, so that a run resumes bit for bit."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays."""

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from such a state."""


class Entry(NamedTuple):
    """What the policy is about to see; each [1, B, ...]."""

    observations: torch.Tensor
    first: torch.Tensor
    last_actions: torch.Tensor
    last_rewards: torch.Tensor


class Choice(NamedTuple):
    """What the policy does in all environments next."""

    actions: torch.Tensor
    """[B] int64, on the CPU."""
    logits: torch.Tensor
    """[B, A] float32, on the CPU."""
    state: torch.Tensor
    """[2, B, H] float32, behind this entry."""


Outcome = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""What ``env.step`` returns."""


class Decision(NamedTuple):
    """One step of all environments; each [B, ...]."""

    actions: torch.Tensor
    logits: torch.Tensor
    rewards: NDArray[np.float64]
    """Raw."""
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    """False where the environment spent the step on resetting itself."""
    bootstraps: NDArray[np.float32]
    """The policy's value of what a truncated episode would have seen next, else 0."""
    finished: list[EpisodeStats]


class DeviceMemory:
    """An entry's place on a GPU, always the same, filled from memory that the GPU reads itself."""

    def __init__(self, entry: Entry, device: torch.device) -> None:
        self.pinned = Entry(
            *(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in entry)
        )
        self.entry = Entry(*(torch.empty_like(tensor, device=device) for tensor in entry))

    def fill(self, entry: Entry) -> Entry:
        """Copy an entry there; who acts on it waits for its logits, so for this as well."""
        for there, pinned, here in zip(self.entry, self.pinned, entry, strict=True):
            if here.device == there.device:  # an environment drew it there
                there.copy_(here)
            else:
                pinned.copy_(here)
                there.copy_(pinned, non_blocking=True)
        return self.entry


class Actor:
    """A policy in a vector of environments, one decision at a time.

    Args:
        env: Any Gymnasium vector environment with discrete actions; its declared
            ``autoreset_mode`` decides how its resets are read.
        policy: What acts; in evaluation mode and without gradient.
        seed: Of the environments' first reset and of the sampling.
        device: Where the policy computes.
        greedy: Take the most probable action instead of sampling.
        bootstrap_truncated: Also value the observation that a truncation cut off.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: Acting,
        *,
        seed: int,
        device: str = "cpu",
        greedy: bool = False,
        bootstrap_truncated: bool = False,
    ) -> None:
        if not isinstance(env.single_action_space, gymnasium.spaces.Discrete):
            raise InputError(
                f"actions must be discrete, this environment has {env.single_action_space}"
            )
        self.env = env
        self.policy = policy
        self.device = torch.device(device)
        self.greedy = greedy
        self.bootstrap_truncated = bootstrap_truncated
        self.mode: AutoresetMode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.generator = torch.Generator().manual_seed(seed % 2**63)
        self.num_steps = 0
        observations, _ = env.reset(seed=seed % 2**31)
        batch = env.num_envs
        self._observations = _as_tensor(observations)
        self._first = np.ones(batch, bool)
        self._resetting = np.zeros(batch, bool)
        self._last_actions = torch.zeros(batch, dtype=torch.int64)
        self._last_rewards = np.zeros(batch)
        self._returns = np.zeros(batch)
        self._lengths = np.zeros(batch, np.int64)
        self.state = policy.initial_state(batch)
        self._memory: DeviceMemory | None = None
        if self.device.type == "cuda":
            self._memory = DeviceMemory(self.host_entry(), self.device)
        self._embed = Replayed(self._embed_entry, self.device)
        self._act = Replayed(self._act_on_entry, self.device)
        self.look_again()

    def look_again(self) -> None:
        """Forget what was computed from the observations: they are new."""
        self._entry: Entry | None = None
        self._embeddings: torch.Tensor | None = None

    def entry(self) -> Entry:
        """Return what the policy sees next, [1, B, ...], on the actor's device."""
        if self._entry is None:
            here = self.host_entry()
            self._entry = here if self._memory is None else self._memory.fill(here)
        return self._entry

    def host_entry(self) -> Entry:
        """Return the same as it came: on the CPU, but for observations drawn elsewhere."""
        return Entry(
            self._observations.unsqueeze(0),
            torch.as_tensor(self._first).unsqueeze(0),
            self._last_actions.unsqueeze(0),
            torch.as_tensor(self._last_rewards, dtype=torch.float32).unsqueeze(0),
        )

    @property
    def dropped_steps(self) -> int:
        """Decisions that an environment in real time had to do without so far."""
        dropped: int = getattr(self.env, "dropped_steps", 0)
        return dropped

    @torch.inference_mode()
    def embeddings(self) -> torch.Tensor:
        """Return the embeddings [1, B, D] of what the policy sees next, computed once."""
        if self._embeddings is None:
            self.entry()
            self._embeddings = self._embed()
        return self._embeddings

    def _embed_entry(self) -> torch.Tensor:
        return self.policy.embed(self.entry().observations)

    def _act_on_entry(self) -> PolicyOutput:
        _, first, last_actions, last_rewards = self.entry()
        return self.policy.unroll(self.embeddings(), first, last_actions, last_rewards, self.state)

    def step(self) -> Decision:
        """Decide once in every environment and step them all."""
        choice = self.decide()
        return self.follow(choice, self.env.step(choice.actions.numpy()))

    @torch.inference_mode()
    def decide(self) -> Choice:
        """Choose an action in every environment; nothing has happened then."""
        self.embeddings()  # before: it is a piece of work of its own
        output = self._act()
        logits = output.logits[0].float().cpu()
        return Choice(self._choose(logits), logits, output.state)

    @torch.inference_mode()
    def follow(self, choice: Choice, outcome: Outcome) -> Decision:
        """Take in what became of a choice."""
        actions, logits, state = choice
        observations = _as_tensor(outcome[0])
        _, rewards, terminated, truncated, info = outcome
        rewards = np.asarray(rewards, np.float64)
        valid = ~self._resetting
        done = (terminated | truncated) & valid
        rewards = np.where(valid, rewards, 0.0)
        self.num_steps += int(valid.sum())
        cut = truncated & ~terminated & valid
        finished = self._track_episodes(rewards, done, cut)

        bootstraps = np.zeros(len(done), np.float32)
        if self.bootstrap_truncated and cut.any():
            final = observations.clone()
            if self.mode == AutoresetMode.SAME_STEP:
                for index in np.flatnonzero(cut):
                    final[index] = torch.as_tensor(info["final_obs"][index])
            bootstraps[cut] = self._values(final, actions, rewards, state)[cut]
        if self.mode == AutoresetMode.DISABLED and done.any():
            observations = _as_tensor(self.env.reset(options={"reset_mask": done})[0])

        if self.mode == AutoresetMode.NEXT_STEP:
            self._first, self._resetting = self._resetting, done
        else:
            self._first = done
        self._observations = observations
        self._last_actions = actions
        self._last_rewards = rewards
        self._set_lstm_state(state)
        self.look_again()
        return Decision(
            actions, logits, rewards, terminated & valid, truncated & valid, valid, bootstraps,
            finished,
        )  # fmt: skip

    def _set_lstm_state(self, state: torch.Tensor) -> None:
        if self._memory is None:
            self.state = state
        else:  # what is replayed reads it at its place
            self.state.copy_(state)

    def _choose(self, logits: torch.Tensor) -> torch.Tensor:
        if self.greedy:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=self.generator).squeeze(-1)

    def _values(
        self,
        observations: torch.Tensor,
        actions: torch.Tensor,
        rewards: NDArray[np.float64],
        state: torch.Tensor,
    ) -> NDArray[np.float32]:
        """Value observations [B, ...] that follow this decision in the same episodes; [B]."""
        output = self.policy.unroll(
            self.policy.embed(observations.to(self.device).unsqueeze(0)),
            torch.zeros(1, len(rewards), dtype=torch.bool, device=self.device),
            actions.to(self.device).unsqueeze(0),
            torch.as_tensor(rewards, dtype=torch.float32, device=self.device).unsqueeze(0),
            state,
        )
        values: NDArray[np.float32] = output.values[0].float().cpu().numpy()
        return values

    def _track_episodes(
        self, rewards: NDArray[np.float64], done: NDArray[np.bool_], cut: NDArray[np.bool_]
    ) -> list[EpisodeStats]:
        self._returns += rewards
        self._lengths += ~self._resetting
        finished = [
            EpisodeStats(
                step=self.num_steps,
                episode_return=float(self._returns[index]),
                length_steps=int(self._lengths[index]),
                environment=int(index),
                truncated=bool(cut[index]),
            )
            for index in np.flatnonzero(done)
        ]
        self._returns[done] = 0.0
        self._lengths[done] = 0
        return finished

    # ------------------------------------------------------------------------ save and restore

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return everything that decides what comes next, as tensors."""
        if not isinstance(self.env, Restorable):
            return {"num_steps": torch.tensor(self.num_steps)}
        arrays = {
            "first": self._first,
            "resetting": self._resetting,
            "last_rewards": self._last_rewards,
            "returns": self._returns,
            "lengths": self._lengths,
        } | {f"env/{name}": array for name, array in self.env.get_state().items()}
        return {name: torch.as_tensor(np.ascontiguousarray(a)) for name, a in arrays.items()} | {
            "num_steps": torch.tensor(self.num_steps),
            "observations": self._observations.cpu(),
            "last_actions": self._last_actions,
            "lstm": self.state.cpu(),
            "generator": self.generator.get_state(),
        }

    @torch.inference_mode()
    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state.

        An environment that cannot be restored starts new episodes instead; only the count of
        steps is kept then.
        """
        self.num_steps = int(state["num_steps"])
        if not isinstance(self.env, Restorable) or "generator" not in state:
            return
        arrays = {name: tensor.numpy().copy() for name, tensor in state.items()}
        self.env.set_state(
            {name.removeprefix("env/"): a for name, a in arrays.items() if name.startswith("env/")}
        )
        self._observations = state["observations"].to(self._observations.device, copy=True)
        self._first, self._resetting = arrays["first"], arrays["resetting"]
        self._last_rewards = arrays["last_rewards"]
        self._returns, self._lengths = arrays["returns"], arrays["lengths"]
        self._last_actions = state["last_actions"].clone()
        self._set_lstm_state(state["lstm"].to(self.device, copy=True))
        self.look_again()
        self.generator.set_state(state["generator"])


def _as_tensor(observations: NDArray[Any] | torch.Tensor) -> torch.Tensor:
    """Return observations as a tensor in the same memory."""
    if isinstance(observations, torch.Tensor):
        return observations
    return torch.as_tensor(np.asarray(observations))


def empty_trajectory(
    actor: Actor, config: AgentConfig, *, store_embeddings: bool, num_actors: int = 1
) -> Trajectory:
    """Make room for an unroll of so many actors alike, to be filled again and again.

    Observations or embeddings lie on the actor's device, all else on the CPU.
    """
    steps, batch, device = config.unroll_length, num_actors * actor.env.num_envs, actor.device
    space = actor.env.single_observation_space
    assert space.shape is not None
    assert isinstance(actor.env.single_action_space, gymnasium.spaces.Discrete)

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")

    kind = torch.from_numpy(np.zeros(1, space.dtype)).dtype
    return Trajectory(
        observations=None
        if store_embeddings
        # What is large is collected where it was needed to act; the rest follows once.
        else torch.empty(steps + 1, batch, *space.shape, dtype=kind, device=device),
        embeddings=torch.empty(steps + 1, batch, config.embedding_size, device=device)
        if store_embeddings
        else None,
        first=empty(steps + 1, batch, dtype=torch.bool),
        last_actions=empty(steps + 1, batch, dtype=torch.int64),
        last_rewards=empty(steps + 1, batch),
        actions=empty(steps, batch, dtype=torch.int64),
        rewards=empty(steps, batch),
        discounts=empty(steps, batch),
        bootstraps=empty(steps, batch),
        behavior_logits=empty(steps, batch, int(actor.env.single_action_space.n)),
        valid=empty(steps, batch, dtype=torch.bool),
        state=empty(2, batch, actor.state.shape[-1]),
    )


def collect(actor: Actor, trajectory: Trajectory, discount: float) -> list[EpisodeStats]:
    """Fill one unroll of T steps in every environment.

    Args:
        actor: Acts; its state at entry 0 is stored along.
        trajectory: Where to; whatever it held is overwritten.
        discount: Of every step that does not end its episode.

    Returns:
        The episodes that finished, in raw reward.
    """
    num_steps = len(trajectory.actions)
    trajectory.state.copy_(actor.state)
    finished = []
    for t in range(num_steps + 1):
        entry = actor.host_entry()
        if trajectory.embeddings is not None:
            trajectory.embeddings[t] = actor.embeddings()[0]
        if trajectory.observations is not None:
            trajectory.observations[t] = actor.entry().observations[0]
        trajectory.first[t] = entry.first[0]
        trajectory.last_actions[t] = entry.last_actions[0]
        trajectory.last_rewards[t] = entry.last_rewards[0]
        if t == num_steps:
            break
        decision = actor.step()
        done = decision.terminated | decision.truncated
        trajectory.actions[t] = decision.actions
        trajectory.behavior_logits[t] = decision.logits
        trajectory.rewards[t] = torch.from_numpy(decision.rewards)
        trajectory.discounts[t] = torch.from_numpy(discount * (decision.valid & ~done))
        trajectory.bootstraps[t] = torch.from_numpy(discount * decision.bootstraps)
        trajectory.valid[t] = torch.from_numpy(decision.valid)
        finished += decision.finished
    return finished


def evaluate(
    actor: Actor, num_episodes: int, on_episode: Callable[[EpisodeStats], None] | None = None
) -> list[EpisodeStats]:
    """Play a fixed number of episodes in each environment.

    Taking the first ``num_episodes`` that finish anywhere would prefer short ones; a quota for
    each environment, set beforehand, does not.

    Args:
        actor: Fresh; its environments share the episodes as evenly as they divide.
        num_episodes: In all.
        on_episode: Called with each episode that counts.

    Returns:
        The episodes, by environment and then in order of play.
    """
    batch = actor.env.num_envs
    quota = np.full(batch, num_episodes // batch)
    quota[: num_episodes % batch] += 1
    episodes: list[EpisodeStats] = []
    while quota.any():
        for episode in actor.step().finished:
            if quota[episode.environment] > 0:
                quota[episode.environment] -= 1
                episodes.append(episode)
                if on_episode is not None:
                    on_episode(episode)
    return sorted(episodes, key=lambda episode: episode.environment)
