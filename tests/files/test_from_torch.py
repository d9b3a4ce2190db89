"""Weights of a module of PyTorch, mapped to parts, act here as the module does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from thaw.config.errors import InputError
from thaw.experiment.imports import import_torch
from thaw.files.checkpoint import load_policy

BANDIT = "gym/bandit_envs:Bandit-v0"
"""Observations [2], four actions."""


class ActorCritic(nn.Module):
    """As in CleanRL's ppo: actor and critic are lists of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = self.layers(4)
        self.critic = self.layers(1)

    @staticmethod
    def layers(outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, outputs)
        )


BRANCHES = [
    "agent.embedding=mlp_branches", "agent.embedding_size=16", "agent.head=branches",
    "agent.branches.policy=[8, 8]", "agent.branches.value=[8, 8]",
    "agent.last_action_input=false", "agent.last_reward_input=false",
]  # fmt: skip
MAPS = [
    "actor.0=embedding.layers.0.policy", "critic.0=embedding.layers.0.value",
    "actor.2=embedding.layers.1.policy", "critic.2=embedding.layers.1.value",
    "actor.4=head.policy", "critic.4=head.value",
]  # fmt: skip


def saved(tmp_path: Path, module: nn.Module) -> Path:
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    save_file(module.state_dict(), tmp_path / "agent.safetensors")
    return tmp_path / "agent.safetensors"


@torch.no_grad()
def test_a_cleanrl_agent_acts_as_it_did(tmp_path: Path) -> None:
    module = ActorCritic()
    file = saved(tmp_path, module)
    import_torch(file, tmp_path / "out", flavor=BANDIT, maps=MAPS, overrides=BRANCHES)
    policy = load_policy(tmp_path / "out")
    seen, first = torch.randn(1, 9, 2), torch.zeros(1, 9, dtype=torch.bool)
    output = policy.unroll(
        policy.embed(seen), first, first.long(), torch.randn(1, 9), policy.initial_state(9)
    )
    torch.testing.assert_close(output.logits, module.actor(seen))
    torch.testing.assert_close(output.values, module.critic(seen).squeeze(-1))


class WithLSTM(nn.Module):
    """As in CleanRL's ppo_atari_lstm; vectors in place of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6), nn.ReLU()
        )
        self.lstm = nn.LSTM(6, 5)
        self.actor = nn.Linear(5, 4)
        self.critic = nn.Linear(5, 1)


LSTM_SETTINGS = [
    "agent.embedding=mlp", "agent.embedding_size=6", "agent.lstm_size=5", "agent.head=branches",
    "agent.branches.policy=[]", "agent.branches.value=[]", "agent.branches.lstm=shared",
    "agent.last_action_input=false", "agent.last_reward_input=false",
]  # fmt: skip


@torch.no_grad()
def test_layers_are_taken_in_their_order_and_lstms_are_translated(tmp_path: Path) -> None:
    module = WithLSTM()
    file = saved(tmp_path, module)
    maps = ["network=embedding", "lstm=head.lstm", "actor=head.policy", "critic=head.value"]
    import_torch(file, tmp_path / "out", flavor=BANDIT, maps=maps, overrides=LSTM_SETTINGS)
    policy = load_policy(tmp_path / "out")
    seen, first = torch.randn(5, 3, 2), torch.zeros(5, 3, dtype=torch.bool)
    state = torch.randn(2, 3, 5)
    output = policy.unroll(policy.embed(seen), first, first.long(), torch.zeros(5, 3), state)
    core, end = module.lstm(module.network(seen), tuple(state.unsqueeze(1)))
    torch.testing.assert_close(output.logits, module.actor(core))
    torch.testing.assert_close(output.values, module.critic(core).squeeze(-1))
    torch.testing.assert_close(output.state, torch.cat(end))


MLP = [
    "agent.embedding=mlp", "agent.embedding_size=64", "agent.head=linear",
    "agent.last_action_input=false", "agent.last_reward_input=false",
]  # fmt: skip
HEAD_MAPS = ["actor=head.policy", "critic=head.value"]


def with_layers_named(*names: str) -> Any:
    """Return a module with three hidden layers; all but the first have the same shapes."""
    module: Any = nn.Module()
    module.net = nn.Module()
    for name in names:
        module.net.add_module(name, nn.Linear(2 if name == names[0] else 64, 64))
    module.actor, module.critic = nn.Linear(64, 4), nn.Linear(64, 1)
    return module


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("input", "middle", "last"), "'net.last' and 'net.middle'"),
        (("0", "1", "last"), "'net.last' and 'net.1'"),
        (("input", "layer", "layer2"), "'net.layer2' and 'net.layer'"),
        (
            ("block0.in", "block1.middle", "block1.last"),
            "'net.block1.last' and 'net.block1.middle'",
        ),
    ],
)
def test_layers_whose_names_do_not_tell_their_order_are_refused(
    tmp_path: Path, names: tuple[str, ...], alike: str
) -> None:
    module = with_layers_named(*[name.replace(".", "_") for name in names])
    tensors = {
        name.replace("_", ".", 1): tensor.clone() for name, tensor in module.state_dict().items()
    }
    save_file(tensors, tmp_path / "agent.safetensors")
    with pytest.raises(InputError, match=f"{alike} have tensors of the same shapes.* 'embedding.l"):
        import_torch(
            tmp_path / "agent.safetensors", tmp_path / "out",
            flavor=BANDIT, maps=["net=embedding", *HEAD_MAPS], overrides=MLP,
        )  # fmt: skip
    # As the message says: one map for each.
    each = [f"net.{name}=embedding.linear{place}" for place, name in enumerate(names)]
    import_torch(
        tmp_path / "agent.safetensors", tmp_path / "out",
        flavor=BANDIT, maps=[*each, *HEAD_MAPS], overrides=MLP,
    )  # fmt: skip
    imported = load_policy(tmp_path / "out").embedding.get_parameter("linear2.weight")
    torch.testing.assert_close(imported, tensors[f"net.{names[2]}.weight"])


@pytest.mark.parametrize(
    "names", [("0", "2", "10"), ("input", "layer2", "layer10"), ("l1_x", "l2_x", "l10_x")]
)
def test_numbers_in_the_names_order_layers_of_the_same_shapes(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    module = with_layers_named(*names)
    file = saved(tmp_path, module)
    maps = ["net=embedding", *HEAD_MAPS]
    import_torch(file, tmp_path / "out", flavor=BANDIT, maps=maps, overrides=MLP)
    imported = load_policy(tmp_path / "out").embedding.get_parameter("linear2.weight")
    torch.testing.assert_close(imported, module.net.get_parameter(f"{names[2]}.weight"))


@pytest.mark.parametrize(
    ("widths", "actions", "advice"),
    [
        (5, 4, "add --set agent.last_action_input=false --set agent.last_reward_input=false$"),
        (4, 4, "does not: add --set agent.last_action_input=false$"),
        (1, 4, "does not: add --set agent.last_reward_input=false$"),
        (2, 4, "give the network the file's sizes"),
        (0, 3, "the flavor has 4 actions and the file 3: choose a flavor, or an option of it"),
        (5, 3, "the flavor has 4 actions and the file 3: .*; the head sees the last action"),
    ],
)
def test_an_error_says_which_setting_gives_a_head_the_width_of_the_file(
    tmp_path: Path, widths: int, actions: int, advice: str
) -> None:
    module: Any = ActorCritic()
    module.actor[4] = nn.Linear(8 + 5 - widths, actions)
    both = ["agent.last_action_input=true", "agent.last_reward_input=true"]
    with pytest.raises(InputError, match=advice):
        import_torch(
            saved(tmp_path, module), tmp_path / "out",
            flavor=BANDIT, maps=MAPS, overrides=[*BRANCHES, *both],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("maps", "overrides", "message"),
    [
        (MAPS[:-1], [], "no --map fills 'head.value.weight', 'head.value.bias' of the policy"),
        ([*MAPS, "actor.4=head.policy"], [], "'head.policy.weight' is filled already"),
        (["actr=embedding", *MAPS], [], "has no 'actr'; did you mean 'actor'?"),
        (["actor=embedding_", *MAPS], [], "policy has no 'embedding_'; did you mean 'embedding'?"),
        (["actor", *MAPS], [], "--map actor: expected MODULE=PART"),
        (["actor=head", *MAPS[:2]], [], "do not fit .* name by name or layer by layer"),
        (
            MAPS,
            ["agent.branches.policy=[9, 8]"],
            "'embedding.layers.0.policy.weight' has shape [9, 2], and the file's tensor in",
        ),
    ],
)
def test_wrong_maps_are_refused_in_one_line(
    tmp_path: Path, maps: list[str], overrides: list[str], message: str
) -> None:
    file = saved(tmp_path, ActorCritic())
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises(InputError, match=pattern) as caught:
        import_torch(
            file, tmp_path / "out", flavor=BANDIT, maps=maps, overrides=[*BRANCHES, *overrides]
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_tensors_that_no_map_reads_are_refused(tmp_path: Path) -> None:
    module = ActorCritic()
    module.extra = nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"no --map reads 'extra.bias', 'extra.weight'"):
        import_torch(
            saved(tmp_path, module), tmp_path / "out", flavor=BANDIT, maps=MAPS, overrides=BRANCHES
        )


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_of_torch_save_is_refused_with_how_to_convert_it(
    tmp_path: Path, is_zip: bool
) -> None:
    file = tmp_path / "agent.pt"
    torch.save(ActorCritic().state_dict(), file, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(InputError) as caught:
        import_torch(file, tmp_path / "out", flavor=BANDIT, maps=MAPS, overrides=BRANCHES)
    assert 'safetensors.torch.save_file(agent.state_dict(), "agent.safetensors")' in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_a_file_of_nothing_known_is_refused_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "agent").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"a readable safetensors file: .*header too small"):
        import_torch(
            tmp_path / "agent", tmp_path / "out", flavor=BANDIT, maps=MAPS, overrides=BRANCHES
        )


def test_layers_beyond_ten_keep_their_order() -> None:
    from thaw.files.from_torch import _natural

    names = [f"layers.{number}.weight" for number in range(12)]
    assert sorted(sorted(names), key=_natural) == names


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    module: Any = ActorCritic()
    file = saved(tmp_path, module)
    module.critic[4].bias.data.fill_(float("nan"))
    save_file(module.state_dict(), file)
    with pytest.raises(InputError, match="weights that are nan or infinite"):
        import_torch(file, tmp_path / "out", flavor=BANDIT, maps=MAPS, overrides=BRANCHES)
