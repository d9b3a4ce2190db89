from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from thaw.config.agent import AgentConfig, Branches
from thaw.config.errors import InputError
from thaw.policy.head import FeedforwardHead, RecurrentHead, build_head


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


def test_a_feedforward_head_is_one_layer_then_policy_and_value() -> None:
    torch.manual_seed(0)
    head = FeedforwardHead(6, 3, fc_size=5, last_action_input=True, last_reward_input=True)
    fc = head.fc
    assert fc is not None
    linear = FeedforwardHead(6, 3, fc_size=None, last_action_input=False, last_reward_input=False)
    embeddings, state = randn(1, 2, 6), torch.zeros(2, 2, 0)
    first = torch.tensor([[False, True]])
    last = (torch.tensor([[1, 2]]), torch.tensor([[7.0, 0.5]]))
    logits, values, end = head(embeddings, first, *last, state)
    before = torch.tensor([[[1.0, 0, 1, 0], [0, 0, 0, 0]]])
    features = F.relu(fc(torch.cat((embeddings, before), dim=-1)))
    torch.testing.assert_close(logits, head.policy(features))
    torch.testing.assert_close(values, head.value(features).squeeze(-1))
    assert end.shape == (2, 2, 0)
    logits, values, _ = linear(embeddings, first, *last, state)
    torch.testing.assert_close(logits, linear.policy(embeddings))
    torch.testing.assert_close(values, linear.value(embeddings).squeeze(-1))


def branched(**settings: Any) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 6, "lstm_size": 4}
    sees: dict[str, Any] = {"last_action_input": False, "last_reward_input": False}
    return build_head(AgentConfig(head="branches", **sizes, **sees, **settings), 3)


def run(head: Any, embeddings: torch.Tensor, state: torch.Tensor) -> list[torch.Tensor]:
    steps, batch = embeddings.shape[:2]
    first = torch.zeros(steps, batch, dtype=torch.bool)
    return list(head(embeddings, first, first.long(), first.float(), state))


def test_each_branch_sees_its_part_of_the_embedding() -> None:
    head = branched(embedding="mlp_branches", branches=Branches(policy=(9, 4), value=(2,)))
    x = randn(1, 2, 6)
    logits, values, _ = run(head, x, torch.zeros(2, 2, 0))
    torch.testing.assert_close(logits, head.policy(x[..., :4]))
    torch.testing.assert_close(values, head.value(x[..., 4:]).squeeze(-1))
    # A branch without hidden layers sees the observation, here two numbers.
    head = branched(embedding="mlp_branches", branches=Branches(policy=(), value=(4,)))
    logits, values, _ = run(head, x, torch.zeros(2, 2, 0))
    torch.testing.assert_close(logits, head.policy(x[..., :2]))
    torch.testing.assert_close(values, head.value(x[..., 2:]).squeeze(-1))
    # Halves of two convolutional networks; layers of the head follow.
    head = branched(embedding="nature_branches", branches=Branches(policy=(5,), value=()))
    logits, values, _ = run(head, x, torch.zeros(2, 2, 0))
    hidden = torch.tanh(head.policy_layers[0](x[..., :3]))
    torch.testing.assert_close(logits, head.policy(hidden))
    torch.testing.assert_close(values, head.value(x[..., 3:]).squeeze(-1))


@pytest.mark.parametrize("kind", ["shared", "separate", "policy"])
def test_the_lstms_of_the_branches(kind: Literal["shared", "separate", "policy"]) -> None:
    """Compared with torch's own LSTM."""
    head = branched(branches=Branches(policy=(), value=(), lstm=kind))
    num_lstms = 2 if kind == "separate" else 1
    x, state = randn(3, 2, 6), randn(2, 2, 4 * num_lstms, seed=1)
    logits, values, end = run(head, x, state)
    outputs, ends = [], []
    for lstm, own in zip((head.lstm, head.value_lstm), torch.split(state, 4, dim=-1), strict=False):
        theirs: Any = torch.nn.LSTM(6, 4)
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(lstm.weight_input)
            theirs.weight_hh_l0.copy_(lstm.weight_hidden)
            theirs.bias_ih_l0.copy_(lstm.bias)
            theirs.bias_hh_l0.zero_()
        core, (h, c) = theirs(x, tuple(own.unsqueeze(1)))
        outputs.append(core)
        ends.append(torch.cat((h, c)))
    value = head.value_linear(x) if kind == "policy" else outputs[-1]
    torch.testing.assert_close(logits, head.policy(outputs[0]))
    torch.testing.assert_close(values, head.value(value).squeeze(-1))
    torch.testing.assert_close(end, torch.cat(ends, dim=-1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "lsmt"}, "unknown head 'lsmt'; did you mean 'lstm'"),
        ({"head": "user_head:not_a_module"}, "returned str, no nn.Module"),
        ({"head": "user_head:without_size"}, "no whole number state_size"),
        ({"head": "user_head:wrong_shape"}, r"returned tensors of shapes .*values \[T, B\]"),
        ({"head": "user_head:failing"}, "failed on zeros: .*no such layer"),
        ({"head": "user_head:missing"}, "is not module:function"),
        (
            {
                "embedding": "nature_branches",
                "head": "branches",
                "branches": Branches(lstm="shared"),
            },
            "lstm is shared, but the embedding 'nature_branches'",
        ),
        (
            {"embedding": "nature_branches", "head": "branches", "embedding_size": 7},
            "two halves, and agent.embedding_size is 7",
        ),
    ],
)
def test_a_wrong_head_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_head(AgentConfig(**settings), 3)
    assert "\n" not in str(caught.value)
