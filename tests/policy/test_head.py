from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from thaw.policy.head import RecurrentHead


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_head_is_lstm_then_one_layer_then_policy_and_value() -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5, last_action_input=True, last_reward_input=True
    )
    embeddings, state = randn(2, 3, 6), randn(2, 3, 4)
    first = torch.tensor([[False, True, False], [False, False, True]])
    last_actions = torch.tensor([[0, 1, 2], [2, 2, 0]])
    last_rewards = torch.tensor([[0.5, 7.0, -3.0], [2.0, -0.25, 0.75]])
    logits, values, end = head(embeddings, first, last_actions, last_rewards, state)
    # [embedding, reward clipped to [-1, 1], one-hot action]; zeros where an episode starts.
    before = torch.tensor(
        [
            [[0.5, 1, 0, 0], [0, 0, 0, 0], [-1, 0, 0, 1]],
            [[1, 0, 0, 1], [-0.25, 0, 0, 1], [0, 0, 0, 0]],
        ]
    )
    core, expected_end = head.lstm(torch.cat((embeddings, before), dim=-1), first, state)
    features = F.relu(core @ head.fc.weight.t() + head.fc.bias)
    np.testing.assert_allclose(
        logits.detach(), (features @ head.policy.weight.t() + head.policy.bias).detach(), rtol=1e-5
    )
    np.testing.assert_allclose(
        values.detach(), (features @ head.value.weight[0] + head.value.bias).detach(), rtol=1e-5
    )
    assert torch.equal(end, expected_end)


@pytest.mark.parametrize("last_action_input", [False, True])
@pytest.mark.parametrize("last_reward_input", [False, True])
def test_head_sees_last_action_and_reward_only_where_told(
    last_action_input: bool, last_reward_input: bool
) -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5,
        last_action_input=last_action_input, last_reward_input=last_reward_input,
    )  # fmt: skip
    embeddings, state, first = randn(1, 1, 6), randn(2, 1, 4), torch.zeros(1, 1, dtype=torch.bool)

    def logits(action: int, reward: float) -> torch.Tensor:
        out: torch.Tensor = head(
            embeddings, first, torch.tensor([[action]]), torch.tensor([[reward]]), state
        )[0]
        return out

    assert torch.equal(logits(0, 0.0), logits(1, 0.0)) == (not last_action_input)
    assert torch.equal(logits(0, 0.0), logits(0, 0.5)) == (not last_reward_input)


def test_what_came_before_an_episode_does_not_matter() -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5, last_action_input=True, last_reward_input=True
    )
    first = torch.ones(1, 2, dtype=torch.bool)
    logits, _, _ = head(
        randn(1, 1, 6).expand(1, 2, 6), first, torch.tensor([[0, 2]]),
        torch.tensor([[0.0, 9.0]]), randn(2, 2, 4),
    )  # fmt: skip
    assert torch.equal(logits[0, 0], logits[0, 1])
