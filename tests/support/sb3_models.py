"""Models of Stable-Baselines3 with random weights, and what they make of an observation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack

ALGORITHMS: dict[str, Any] = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "RecurrentPPO": RecurrentPPO}
NUM_ACTIONS = 5

Arrays = dict[str, np.ndarray[Any, Any]]


class Noise(gymnasium.Env[Any, Any]):
    """Random observations; the shape tells whether they are pictures."""

    def __init__(
        self,
        shape: tuple[int, ...],
        actions: spaces.Space[Any] | None = None,
        brightest: int = 255,
    ) -> None:
        low, high, kind = (0, brightest, np.uint8) if len(shape) == 3 else (-3, 3, np.float32)
        self.observation_space = spaces.Box(low, high, shape, kind)
        self.action_space = actions or spaces.Discrete(NUM_ACTIONS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def make_model(
    algorithm: str,
    policy: str,
    shape: tuple[int, ...],
    *,
    stack: int = 1,
    actions: spaces.Space[Any] | None = None,
    brightest: int = 255,
    **kwargs: Any,
) -> Any:
    """Make a model whose weights are far from the initial ones, so that its actions differ."""
    env: VecEnv = DummyVecEnv([lambda: Noise(shape, actions, brightest)])
    if stack > 1:
        env = VecFrameStack(env, stack)
    model = ALGORITHMS[algorithm](policy, env, policy_kwargs=kwargs, seed=0, device="cpu")
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            noise = torch.rand(parameter.shape, generator=draw) - 0.5
            parameter.add_(noise * 3 / max(1, parameter[0].numel()) ** 0.5)
    return model


def save_model(path: Path, *arguments: Any, **settings: Any) -> Any:
    model = make_model(*arguments, **settings)
    model.save(path)
    return model


@torch.no_grad()
def probabilities_and_values(
    model: Any, observations: np.ndarray[Any, Any], first: np.ndarray[Any, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the library computes for T steps of B environments.

    Args:
        model: Of the library.
        observations: [T, B, ...] as the environments return them.
        first: [T, B] bool.

    Returns:
        Probabilities [T, B, A] and values [T, B].
    """
    policy = model.policy.eval()
    batch = first.shape[1]
    probabilities, values = [], []
    states = None
    if hasattr(policy, "lstm_actor"):
        zeros = torch.zeros(1, batch, policy.lstm_actor.hidden_size)
        states = RNNStates((zeros, zeros), (zeros, zeros))
    for now, starts in zip(observations, first, strict=True):
        # The library's environments move the channels of pictures to the front.
        seen = torch.as_tensor(np.moveaxis(now, -1, 1) if now.ndim == 4 else now)
        if states is None:
            distribution = policy.get_distribution(seen)
            values.append(policy.predict_values(seen).squeeze(-1))
        else:
            begins = torch.as_tensor(starts).float()
            distribution, _ = policy.get_distribution(seen, states.pi, begins)
            values.append(policy.predict_values(seen, states.vf, begins).squeeze(-1))
            *_, states = policy.forward(seen, states, begins)
        probabilities.append(distribution.distribution.probs)
    return torch.stack(probabilities), torch.stack(values)
