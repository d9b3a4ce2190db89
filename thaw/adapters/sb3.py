"""Update rules for the models of Stable-Baselines3: PPO, A2C, DQN, and RecurrentPPO of its contrib.

It has two traps for those who freeze parts by hand: each update writes one learning rate into every
group of the optimizer, and switches all modules to training mode, so that the statistics of frozen
normalization layers move.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias, cast

import torch
from torch import nn

from thaw.adapters.any_module import AppliedRule
from thaw.adapters.any_module import apply_rule as apply_to_module
from thaw.adapters.rates import TIMES
from thaw.config.errors import InputError, install_hint

try:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.save_util import load_from_zip_file
    from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
except ImportError as error:
    raise ImportError(f"no Stable-Baselines3 ({error}); {install_hint('sb3')}") from None

Source: TypeAlias = str | PathLike[str] | BaseAlgorithm | Mapping[str, torch.Tensor]


def apply_rule(
    model: BaseAlgorithm, rule: str, *, source: Source | None = None, steps: int | None = None
) -> FollowRule:
    """Let a model follow an update rule: ``model.learn(steps, callback=apply_rule(...))``.

    The part ``embedding`` is the features extractor. Where that has no weights, it is what comes
    first: of an ``MlpPolicy`` the hidden layers (``mlp_extractor``), of an ``MlpLstmPolicy`` the
    LSTMs, of a DQN all layers but the last. The head is the rest: ``head.policy``, ``head.value``
    and, with a ``CnnLstmPolicy``, ``head.lstm``.

    Args:
        model: Newly built, not loaded: what the rule calls ``random`` keeps the weights that it
            has. Its optimizer is built again, so that it begins with fresh state.
        rule: A named rule, or one in words.
        source: The pretrained policy: the zip of a model, of which only weights are read, a model,
            or the state dict of its policy.
        steps: Of the whole training; needed if the rule speaks of shares of it, as in @25%.

    Returns:
        The callback for ``learn``. Printed, it is the table of parts.

    Raises:
        InputError: The rule, the source and the model do not fit, or the model has more than one
            optimizer.
    """
    network, parts = _network_and_parts(model)
    tensors = None if source is None else _tensors(source, model)
    applied = apply_to_module(network, rule, source=tensors, parts=parts, steps=steps)
    if isinstance(model.policy, DQNPolicy):
        model.policy.q_net_target.load_state_dict(model.policy.q_net.state_dict())
    model.policy.optimizer = _optimizer(model, network, applied)
    return FollowRule(model, applied)


class FollowRule(BaseCallback):
    """Lets parts begin and end to train with the steps of a model, and checks what is frozen.

    Steps are counted from the first ``learn``. What begins at a step begins with the first rollout
    after it. When ``learn`` ends, what is frozen is compared bit for bit.
    """

    def __init__(self, model: BaseAlgorithm, applied: AppliedRule) -> None:
        super().__init__()
        self.applied = applied
        self._steps = self._start = 0
        self._begun = False
        model.policy.optimizer.register_step_pre_hook(self._check_begun)

    def __str__(self) -> str:
        return str(self.applied)

    def check(self) -> None:
        """Check bit for bit that what is frozen has not changed.

        Raises:
            RuntimeError: A tensor has; the message names it.
        """
        self.applied.check()

    def _on_training_start(self) -> None:
        self._begun = True
        self._start = self.model.num_timesteps - self._steps

    def _on_rollout_start(self) -> None:
        self.applied.step(self._steps)

    def _on_step(self) -> bool:
        self._steps = self.model.num_timesteps - self._start
        return True

    def _on_training_end(self) -> None:
        self.check()

    def _check_begun(self, *_: Any) -> None:
        """Check that a schedule is followed.

        Raises:
            InputError: It is not.
        """
        if not self._begun and any(part.at for part in self.applied.rule.parts.values()):
            raise InputError(
                f"update rule '{self.applied.rule}' has a schedule, which nothing follows; give "
                "what apply_rule returned to model.learn(callback=...)"
            )


def _network_and_parts(model: BaseAlgorithm) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network that the model's optimizer trains, and where its parts are.

    Raises:
        InputError: The model has several networks and optimizers.
    """
    policy = model.policy
    if isinstance(policy, DQNPolicy):
        return policy.q_net, _parts_of_dqn(policy.q_net)
    if not isinstance(policy, ActorCriticPolicy):
        raise InputError(
            f"{type(model).__name__} trains several networks with an optimizer each; rules can be "
            "applied to PPO, A2C, DQN and RecurrentPPO"
        )

    def there(*paths: str) -> list[str]:
        return [path for path in paths if _has_tensors(policy, path)]

    extractors = there("pi_features_extractor", "vf_features_extractor")
    if policy.share_features_extractor:
        extractors = extractors[:1]
    recurrent = there("lstm_actor", "lstm_critic", "critic")
    embedding = extractors or recurrent or there("mlp_extractor")
    head = {
        "lstm": there("lstm_actor"),
        "policy": there("mlp_extractor.policy_net", "action_net", "log_std"),
        "value": there("lstm_critic", "critic", "mlp_extractor.value_net", "value_net"),
    }
    for name, paths in head.items():
        head[name] = [path for path in paths if not path.startswith(tuple(embedding))]
    return policy, {
        "embedding": embedding[0] if len(embedding) == 1 else embedding,
        "head": {name: paths for name, paths in head.items() if paths},
    }


def _parts_of_dqn(q_net: QNetwork) -> dict[str, Any]:
    if _has_tensors(q_net, "features_extractor"):
        return {"embedding": "features_extractor", "head": {"value": "q_net"}}
    layers = [f"q_net.{n}" for n, _ in q_net.q_net.named_children() if _has_tensors(q_net.q_net, n)]
    return {"embedding": layers[:-1], "head": {"value": layers[-1:]}}


def _has_tensors(module: nn.Module, path: str) -> bool:
    """Whether something with weights stands at a dotted path."""
    found: object = module
    for word in path.split("."):
        found = getattr(found, word, None)
    return isinstance(found, nn.Parameter) or (
        isinstance(found, nn.Module) and bool(found.state_dict())
    )


def _tensors(source: Source, model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Return the source's tensors, by their names in the network that the model trains.

    Raises:
        InputError: The file does not exist, or is not the zip of a model.
    """
    if isinstance(source, BaseAlgorithm):
        tensors: Mapping[str, torch.Tensor] = source.policy.state_dict()
    elif isinstance(source, Mapping):
        tensors = source
    else:
        try:
            # Without data, which is pickled and could run code.
            _, parameters, _ = load_from_zip_file(Path(source), device="cpu", load_data=False)
            tensors = cast(Mapping[str, torch.Tensor], parameters["policy"])
        except FileNotFoundError:
            raise InputError(f"'{source}' does not exist; give the zip of model.save") from None
        except (OSError, ValueError, KeyError, RuntimeError, UnpicklingError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"{source}: not a model of Stable-Baselines3 ({reason}); give the zip of model.save"
            ) from None
    prefix = "q_net." if isinstance(model.policy, DQNPolicy) else ""
    return {
        name.removeprefix(prefix): tensor.detach().clone()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _optimizer(
    model: BaseAlgorithm, network: nn.Module, applied: AppliedRule
) -> torch.optim.Optimizer:
    """Build the policy's optimizer again, with fresh state and the rule's groups.

    It has all parameters, as Stable-Baselines3 expects: those that are frozen have no gradient.
    """
    policy = model.policy
    everything = list(network.parameters())
    groups = applied.parameter_groups
    if not any(TIMES in group for group in groups):
        groups = [{"params": everything}]
    else:
        trained = {id(p) for group in groups for p in group["params"]}
        rest = [p for p in everything if id(p) not in trained]
        groups += [{"params": rest, TIMES: 1.0}] if rest else []
    settings: dict[str, Any] = {"lr": model.lr_schedule(1), **policy.optimizer_kwargs}
    optimizer = policy.optimizer_class(groups, **settings)
    if len(groups) > 1:
        optimizer.register_state_dict_post_hook(_PlainState(everything))
    return optimizer


class _PlainState:
    """Saves an optimizer of several groups as the one of one group that a model is loaded with.

    Else ``PPO.load`` would refuse what ``model.save`` has written.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.places = {id(parameter): place for place, parameter in enumerate(parameters)}

    def __call__(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        first = state["param_groups"][0]
        plain = {key: value for key, value in first.items() if key not in (TIMES, "params")}
        return {
            "state": {
                self.places[id(parameters[place])]: slots for place, slots in state["state"].items()
            },
            "param_groups": [plain | {"params": list(range(len(self.places)))}],
        }
