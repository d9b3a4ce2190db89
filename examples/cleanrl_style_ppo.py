r"""An update rule in a training loop of one file, in the style of CleanRL: PPO on CartPole.

python examples/cleanrl_style_ppo.py --steps 20000 --save source.safetensors
python examples/cleanrl_style_ppo.py --gravity 20 --source source.safetensors \
    --rule embedding=source:trained:lr=0.1,head=source:trained

The four statements with ``rule`` are all that a script needs. The annealing writes one rate into
the optimizer's first group, as CleanRL does, and every part follows with its own rate.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from safetensors.torch import save_file
from torch import nn, optim
from torch.distributions import Categorical

import thaw

PARTS = {"embedding": "network", "head": {"policy": "actor", "value": "critic"}}


def layer_init(layer: nn.Linear, std: float = 2**0.5) -> nn.Linear:
    """Draw orthogonal weights, with biases of 0."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    """A shared network with two linear heads."""

    def __init__(self, num_inputs: int, num_actions: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            layer_init(nn.Linear(num_inputs, 64)), nn.Tanh(),
            layer_init(nn.Linear(64, 64)), nn.Tanh(),
        )  # fmt: skip
        self.actor = layer_init(nn.Linear(64, num_actions), std=0.01)
        self.critic = layer_init(nn.Linear(64, 1), std=1.0)

    def forward(self, observations: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        """Map observations [N, I] to action probabilities and values [N]."""
        hidden = self.network(observations)
        return Categorical(logits=self.actor(hidden)), self.critic(hidden).squeeze(-1)


def make_env(gravity: float) -> gymnasium.Env[Any, Any]:
    """Return CartPole on another planet."""
    env = gymnasium.make("CartPole-v1")
    cartpole = env.unwrapped
    assert isinstance(cartpole, CartPoleEnv)
    cartpole.gravity = gravity
    return gymnasium.wrappers.RecordEpisodeStatistics(env)


def train(args: argparse.Namespace) -> tuple[Agent, list[float]]:
    """Train with PPO; return the agent and the returns of the episodes in their order."""
    torch.manual_seed(args.seed)
    num_envs, num_steps, gamma, gae_lambda = 4, 64, 0.99, 0.95
    envs = SyncVectorEnv(
        [lambda: make_env(args.gravity)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )
    agent = Agent(4, 2)

    rule = thaw.apply_rule(
        agent, args.rule, source=args.source or None, parts=PARTS, steps=args.steps
    )
    print(rule)
    optimizer = optim.Adam(rule.parameter_groups, lr=args.learning_rate, eps=1e-5)

    returns: list[float] = []
    observation, _ = envs.reset(seed=args.seed)
    first = torch.zeros(num_envs)
    num_iterations = args.steps // (num_envs * num_steps)
    for iteration in range(num_iterations):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - iteration / num_iterations)
        rule.step(iteration * num_envs * num_steps)  # parts begin and end to train

        agent.eval()
        rows: list[tuple[torch.Tensor, ...]] = []
        for _ in range(num_steps):
            seen = torch.as_tensor(observation, dtype=torch.float32)
            with torch.no_grad():
                choice, value = agent(seen)
                action = choice.sample()
            observation, reward, ended, cut, info = envs.step(action.numpy())
            done = np.logical_or(ended, cut)
            rewarded = torch.as_tensor(reward, dtype=torch.float32)
            rows.append((seen, action, choice.log_prob(action), value, rewarded, first))
            first = torch.as_tensor(done, dtype=torch.float32)
            if "final_info" in info:
                episodes = info["final_info"]["episode"]
                returns += episodes["r"][episodes["l"] > 0].tolist()
        seen, actions, log_probs, values, rewards, firsts = map(
            torch.stack, zip(*rows, strict=True)
        )
        with torch.no_grad():
            _, after = agent(torch.as_tensor(observation, dtype=torch.float32))
        advantages, last = torch.zeros_like(rewards), torch.zeros(num_envs)
        for t in reversed(range(num_steps)):
            going_on = 1 - (first if t == num_steps - 1 else firsts[t + 1])
            following = after if t == num_steps - 1 else values[t + 1]
            delta = rewards[t] + gamma * following * going_on - values[t]
            advantages[t] = last = delta + gamma * gae_lambda * going_on * last

        agent.train()  # frozen modules stay in evaluation mode
        batch = [
            x.flatten(0, 1) for x in (seen, actions, log_probs, advantages, advantages + values)
        ]
        for _ in range(4):
            for index in torch.randperm(num_envs * num_steps).chunk(4):
                seen, action, old_log_prob, advantage, target = (x[index] for x in batch)
                choice, value = agent(seen)
                ratio = (choice.log_prob(action) - old_log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
                loss = (
                    (value - target).square().mean() / 4 - clipped - 0.01 * choice.entropy().mean()
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
    rule.check()  # what is frozen has not changed, bit for bit
    envs.close()
    return agent, returns


def main(words: list[str] | None = None) -> tuple[Agent, list[float]]:
    """Train one agent, and save its weights if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gravity", type=float, default=9.8)
    parser.add_argument("--rule", default="scratch")
    parser.add_argument("--source", default="", help="safetensors file of a pretrained agent")
    parser.add_argument("--save", default="", help="safetensors file to write")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=2.5e-3)
    args = parser.parse_args(words)
    agent, returns = train(args)
    if args.save:
        save_file(agent.state_dict(), args.save)
    print(f"mean return of the last 20 episodes: {np.mean(returns[-20:]):.1f}")
    return agent, returns


if __name__ == "__main__":
    main()
