"""The agent's settings: network, loss, optimizer and clock.

Numbers marked (IMPALA, table G.1) come from Espeholt et al. 2018, arXiv 1802.01561.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from thaw.config.errors import InputError, nearest
from thaw.config.strict import Config, Fraction, NonNegativeFloat, PositiveFloat, Size

TIMM = "timm:"
"""Begins the name of an embedding from the library timm."""

EMBEDDING_NAMES = (
    "impala_deep", "impala_shallow", "nature", "mlp", "flatten", "mlp_branches", "nature_branches"
)  # fmt: skip
"""The built-in embeddings; :mod:`thaw.policy.embeddings` makes them."""
HEAD_NAMES = ("lstm", "feedforward", "linear", "branches")
"""The built-in heads; :mod:`thaw.policy.head` makes them."""


class Branches(Config, frozen=True, kw_only=True):
    """The network of a policy whose policy and value have layers of their own (docs/networks.md).

    The defaults are Stable-Baselines3's ``MlpPolicy``.
    """

    policy: tuple[Size, ...] = (64, 64)
    """Widths of the hidden layers before the action logits."""
    value: tuple[Size, ...] = (64, 64)
    """Widths of the hidden layers before the value."""
    activation: Literal["tanh", "relu", "elu", "leaky_relu", "gelu", "silu"] = "tanh"
    lstm: Literal["none", "shared", "separate", "policy"] = "none"
    """LSTMs of width ``lstm_size`` before these layers: one for both branches, one for each, or one
    for the policy's and a linear layer of the same width for the value's."""


class AgentConfig(Config, frozen=True, kw_only=True):
    """The agent: network, loss and optimizer. Defaults: IMPALA, table G.1, unless noted."""

    later: ClassVar[tuple[str, ...]] = (
        "embedding_weights", "embedding_sha256", "head", "branches"
    )  # fmt: skip

    embedding: str = "impala_deep"
    """A built-in name (impala_deep, impala_shallow, nature; mlp for vectors; docs/networks.md has
    all), ``timm:NAME`` or ``module:function``."""
    embedding_size: Size = 256
    """Width of the embedding's output (Dean et al., section 3.2)."""
    embedding_weights: str | None = None
    """A safetensors file with pretrained weights for ``timm:NAME``."""
    embedding_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Checksum of that file, which thaw fills in; it is part of the hash in place of the path."""
    head: str = "lstm"
    """lstm (with a fully connected layer after it), feedforward (that layer alone), linear
    (neither), branches, or ``module:function``."""
    lstm_size: Size = 256
    """Reproduces the published 1.6 M parameters (docs/reproducing.md, point 7)."""
    fc_size: Size = 256
    """Width of the added fully connected layer after the LSTM (point 6)."""
    branches: Branches = Branches()
    """Of the embedding and the head ``branches``; nothing else uses it."""
    last_action_input: bool = True
    """Feed the one-hot last action to the head (point 8)."""
    last_reward_input: bool = True
    """Feed the last reward, clipped to [-1, 1], to the head (point 8)."""

    clock: Literal["lockstep", "overlapped", "asynchronous"] = "lockstep"
    """lockstep: collect, then learn (policy lag 0). overlapped: both at once (lag exactly 1).
    asynchronous: actors in separate processes, as in IMPALA; the lag is measured."""
    actors: Size = 5
    """Processes that share the run's environments under the asynchronous clock (Dean et al.)."""
    env_groups: Size = 1
    """Groups of environments, each with its own thread: one group's emulators step while the
    network processes another group's observations. All groups have the same size."""
    unroll_length: Size = 20
    """Steps in one unroll; an update learns from ``num_envs`` unrolls."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the embedding; weights, head and losses stay float32. auto: bfloat16 for large
    convolutional networks on processors that multiply in it, else float32; run.json has the
    choice (docs/performance.md has the rule)."""

    discount: Fraction = 0.99
    baseline_cost: NonNegativeFloat = 0.5
    entropy_cost: NonNegativeFloat = 0.01
    reward_scale: PositiveFloat = 1.0
    """Rewards are multiplied by it in the loss, before the clip; reports show raw rewards."""
    reward_clip: PositiveFloat | None = 1.0
    """Rewards are clipped to [-reward_clip, reward_clip] in the loss; reports show raw rewards."""
    truncation: Literal["terminate", "bootstrap"] = "terminate"
    """Value after a truncated step: 0 as in IMPALA's code (point 34), or the policy's estimate."""
    rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the targets (IMPALA, eq. 1); null = no clip."""
    c_bar: PositiveFloat | None = 1.0
    """Clip of the trace coefficients (IMPALA, eq. 1); null = no clip."""
    pg_rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the policy gradient; null = no clip."""
    lambda_: Fraction = 1.0
    """Multiplies the trace coefficients (IMPALA, remark 2)."""

    learning_rate: PositiveFloat = 6e-4
    learning_rate_schedule: Literal["linear", "constant"] = "linear"
    """linear: to 0 over this run's own steps, also after a transfer (point 3)."""
    optimizer: Literal["rmsprop", "rmsprop_torch", "rmsprop_unbiased", "adam"] = "rmsprop"
    """rmsprop: IMPALA's own, TensorFlow's form; its first steps are small. rmsprop_torch: PyTorch's
    form; its first step is ten times too long. rmsprop_unbiased: PyTorch's form with Adam's
    correction for the start. adam: with betas 0.9 and 0.999 (point 17)."""
    rmsprop_decay: Fraction = 0.99
    """Not in table G.1; the IMPALA code's default (point 16)."""
    rmsprop_epsilon: PositiveFloat = 0.01
    """rmsprop: added to the mean square, inside the root. The other two: added to the root."""
    rmsprop_momentum: NonNegativeFloat = 0.0
    """Of rmsprop and rmsprop_torch."""
    adam_epsilon: PositiveFloat = 1e-5
    """Added to the root, as Stable-Baselines3's PPO does."""
    max_gradient_norm: PositiveFloat = 40.0
    """The norm is over trained parameters only: frozen parts must not change the clipping."""

    def __post_init__(self) -> None:
        is_timm = self.embedding.startswith(TIMM)
        if self.embedding_weights is not None and not is_timm:
            raise InputError(
                f"agent.embedding_weights is for embeddings timm:NAME, and this is "
                f"'{self.embedding}'; leave it out"
            )
        if self.embedding_sha256 is not None and self.embedding_weights is None:
            raise InputError(
                "agent.embedding_sha256 is the checksum of agent.embedding_weights, which is not "
                "there; give the file, or leave both out"
            )

    @property
    def code(self) -> tuple[str, ...]:
        """The parts, ``embedding`` or ``head``, that are a ``module:function``."""
        names = {"embedding": self.embedding, "head": self.head}
        return tuple(
            part
            for part, name in names.items()
            if ":" in name and not (part == "embedding" and name.startswith(TIMM))
        )


def check_network_names(agent: AgentConfig) -> None:
    """Check the names of an agent's embedding and head. Nothing is imported, torch neither.

    What comes after ``timm:`` and in ``module:function`` is looked up only when it is made.

    Raises:
        InputError: Neither a built-in name nor one of those forms.
    """
    for part, name, allowed, forms in (
        ("embedding", agent.embedding, EMBEDDING_NAMES, "timm:NAME, or module:function"),
        ("head", agent.head, HEAD_NAMES, "module:function"),
    ):
        if name not in allowed and ":" not in name:
            raise InputError(
                f"unknown {part} '{name}'{nearest(name, allowed)} Built in: {', '.join(allowed)}; "
                f"or {forms}"
            )


def complete_agent(plain: object) -> object:
    """Complete an agent in a file of an earlier thaw, which had one optimizer and did not name it.

    Args:
        plain: As parsed from a run's, a policy's or a suite's file that thaw has written.
    """
    return {"optimizer": "rmsprop_torch", **plain} if isinstance(plain, dict) else plain


NETWORK_SETTINGS = (
    "embedding", "embedding_size", "embedding_weights", "embedding_sha256", "head", "lstm_size",
    "fc_size", "branches", "last_action_input", "last_reward_input",
)  # fmt: skip
"""The agent's settings that decide names and shapes of a policy's tensors and what they compute."""
