"""The actor: a policy in a vector of environments, one decision at a time.

Only this module handles auto-reset. ``T``, ``B`` and the other letters are those of
:mod:`thaw.policy.trajectory`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from thaw.acting.decision import Choice, Decision, DeviceMemory, Entry, Outcome
from thaw.acting.episodes import EpisodeTracker
from thaw.acting.finite import check_finite
from thaw.config import AgentConfig, InputError
from thaw.envs.spaces import Restorable, VectorEnv, score_continues
from thaw.policy import Acting
from thaw.policy.cuda import Replayed
from thaw.policy.trajectory import PolicyOutput


class Actor:
    """A policy in a vector of environments, one decision at a time.

    Args:
        env: Any Gymnasium vector environment with discrete actions; the ``autoreset_mode`` in
            its metadata says how it resets.
        policy: Chooses the actions; in evaluation mode and without gradient, unless the learner
            takes the gradient's graph from this actor.
        seed: Seed of the environments' first reset and of the sampling.
        config: The agent that learns from these decisions; its ``truncation`` says whether
            truncated steps are valued. None if nothing learns, as in an evaluation.
        device: Device of the policy.
        greedy: Take the most probable action instead of sampling.

    Raises:
        InputError: The actions are not discrete.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: Acting,
        *,
        seed: int,
        config: AgentConfig | None = None,
        device: str = "cpu",
        greedy: bool = False,
    ) -> None:
        if not isinstance(env.single_action_space, gymnasium.spaces.Discrete):
            raise InputError(
                f"actions must be discrete, this environment has {env.single_action_space}"
            )
        self.env = env
        self.policy = policy
        self.device = torch.device(device)
        self.greedy = greedy
        self.keeps_graph = False
        """Whether embeddings are computed with gradients, for the learner whose policy this is."""
        self.portions: list[torch.Tensor] = []
        """Then: the embeddings since :meth:`begin_unroll` with their graph, each [1, B, D],
        without the bootstrap's."""
        self.bootstraps_truncated = config is not None and config.truncation == "bootstrap"
        self.mode: AutoresetMode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.generator = torch.Generator().manual_seed(seed % 2**63)
        self.num_steps = 0
        observations, _ = env.reset(seed=seed % 2**31)
        batch = env.num_envs
        self._observations = _as_tensor(observations)
        check_finite("observation", self._observations, 0)
        self._first = np.ones(batch, bool)
        self._resetting = np.zeros(batch, bool)
        self._last_actions = torch.zeros(batch, dtype=torch.int64)
        self._last_rewards = np.zeros(batch)
        self._episodes = EpisodeTracker(batch)
        self.state = policy.initial_state(batch)
        self._memory: DeviceMemory | None = None
        if self.device.type == "cuda":
            self._memory = DeviceMemory(self.host_entry(), self.device)
        self._embed = Replayed(self._embed_entry, self.device)
        self._act = Replayed(self._act_on_entry, self.device)
        self.invalidate()

    def invalidate(self) -> None:
        """Drop everything computed from the observations, because they have changed."""
        self._entry: Entry | None = None
        self._embeddings: torch.Tensor | None = None

    def entry(self) -> Entry:
        """Return the policy's next inputs, [1, B, ...], on the actor's device."""
        if self._entry is None:
            here = self.host_entry()
            self._entry = here if self._memory is None else self._memory.fill(here)
        return self._entry

    def host_entry(self) -> Entry:
        """Return the same inputs before any copy: on the CPU, except images drawn on a GPU."""
        return Entry(
            self._observations.unsqueeze(0),
            torch.as_tensor(self._first).unsqueeze(0),
            self._last_actions.unsqueeze(0),
            torch.as_tensor(self._last_rewards, dtype=torch.float32).unsqueeze(0),
        )

    @property
    def dropped_steps(self) -> int:
        """Decisions so far that came too late for real-time environments."""
        dropped: int = getattr(self.env, "dropped_steps", 0)
        return dropped

    @torch.inference_mode()
    def embeddings(self, *, bootstrap: bool = False) -> torch.Tensor:
        """Return the embeddings [1, B, D] of the next observations, computed once.

        Args:
            bootstrap: They only give the value after an unroll's last step. This value is a target,
                so nothing is learned through it, and no graph is kept.
        """
        if self._embeddings is None:
            self.entry()
            learns = self.keeps_graph and not bootstrap
            self._embeddings = self._embed_with_graph() if learns else self._embed()
        return self._embeddings

    def begin_unroll(self) -> None:
        """Forget the embeddings of a policy that has learned since; only if it keeps graphs."""
        if self.keeps_graph:
            self.portions = []
            self._embeddings = None

    def _embed_with_graph(self) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            # A copy, because environments write their next observations into the same memory.
            self.portions.append(self.policy.embed(self._observations.clone().unsqueeze(0)))
        return self.portions[-1].detach()

    def _embed_entry(self) -> torch.Tensor:
        return self.policy.embed(self.entry().observations)

    def _act_on_entry(self) -> PolicyOutput:
        _, first, last_actions, last_rewards = self.entry()
        return self.policy.unroll(self.embeddings(), first, last_actions, last_rewards, self.state)

    def step(self) -> Decision:
        """Choose an action in every environment and step them all."""
        choice = self.decide()
        return self.observe(choice, self.env.step(choice.actions.numpy()))

    @torch.inference_mode()
    def decide(self) -> Choice:
        """Choose an action in every environment, without stepping them."""
        self.embeddings()  # first, because it is captured as a CUDA graph by itself
        output = self._act()
        logits = output.logits[0].float().cpu()
        return Choice(self._choose(logits), logits, output.state)

    @torch.inference_mode()
    def observe(self, choice: Choice, outcome: Outcome) -> Decision:
        """Process the result of stepping the environments with a choice.

        Raises:
            NotFinite: A reward or an observation is nan or infinite.
        """
        actions, logits, state = choice
        observations = _as_tensor(outcome[0])
        _, rewards, terminated, truncated, info = outcome
        rewards = np.asarray(rewards, np.float64)
        valid = ~self._resetting
        done = (terminated | truncated) & valid
        rewards = np.where(valid, rewards, 0.0)
        self.num_steps += int(valid.sum())
        check_finite("reward", rewards, self.num_steps)
        cut = truncated & ~terminated & valid
        ended = done & ~np.asarray(score_continues(info), bool)
        finished = self._episodes.add(rewards, valid, ended, cut, self.num_steps)

        bootstraps = np.zeros(len(done), np.float32)
        if self.bootstraps_truncated and cut.any():
            final = observations.clone()
            if self.mode == AutoresetMode.SAME_STEP:
                for index in np.flatnonzero(cut):
                    final[index] = torch.as_tensor(info["final_obs"][index])
                check_finite("final observation", final, self.num_steps)
            bootstraps[cut] = self._values(final, actions, rewards, state)[cut]
        if self.mode == AutoresetMode.DISABLED and done.any():
            observations = _as_tensor(self.env.reset(options={"reset_mask": done})[0])

        check_finite("observation", observations, self.num_steps)

        if self.mode == AutoresetMode.NEXT_STEP:
            self._first, self._resetting = self._resetting, done
        else:
            self._first = done
        self._observations = observations
        self._last_actions = actions
        self._last_rewards = rewards
        self._set_lstm_state(state)
        self.invalidate()
        return Decision(
            actions, logits, rewards, terminated & valid, truncated & valid, valid, bootstraps,
            finished,
        )  # fmt: skip

    def _set_lstm_state(self, state: torch.Tensor) -> None:
        if self._memory is None:
            self.state = state
        else:  # a CUDA graph reads it at a fixed address
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
        """Return the values [B] of observations [B, ...] that follow a decision in its episode."""
        output = self.policy.unroll(
            self.policy.embed(observations.to(self.device).unsqueeze(0)),
            torch.zeros(1, len(rewards), dtype=torch.bool, device=self.device),
            actions.to(self.device).unsqueeze(0),
            torch.as_tensor(rewards, dtype=torch.float32, device=self.device).unsqueeze(0),
            state,
        )
        values: NDArray[np.float32] = output.values[0].float().cpu().numpy()
        return values

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return everything that the next decisions depend on, as tensors."""
        if not isinstance(self.env, Restorable):
            return {"num_steps": torch.tensor(self.num_steps)}
        arrays = {
            "first": self._first,
            "resetting": self._resetting,
            "last_rewards": self._last_rewards,
            "returns": self._episodes.returns,
            "lengths": self._episodes.lengths,
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

        An environment that cannot be restored starts new episodes; then only the number of
        steps is kept.
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
        self._episodes.returns, self._episodes.lengths = arrays["returns"], arrays["lengths"]
        self._last_actions = state["last_actions"].clone()
        self._set_lstm_state(state["lstm"].to(self.device, copy=True))
        self.invalidate()
        self.generator.set_state(state["generator"])


def _as_tensor(observations: NDArray[Any] | torch.Tensor) -> torch.Tensor:
    """Return observations as a tensor in the same memory."""
    if isinstance(observations, torch.Tensor):
        return observations
    return torch.as_tensor(np.asarray(observations))
