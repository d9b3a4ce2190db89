from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import AgentConfig
from thaw.policy.embeddings import build_embedding
from thaw.policy.modes import depends_on_mode


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GELU(), nn.Flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


class Drops(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(super().forward(x), training=self.training)


class DropsLater(Drops):
    """The base class reads the mode."""


class DropsInside(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def drop(y: torch.Tensor) -> torch.Tensor:
            return F.dropout(y, training=self.training)

        return drop(super().forward(x))


class Noisy(Plain):
    def noise(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x) if self.training else x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.noise(super().forward(x))


class Counts(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(), nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3)),
        nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout2d())), nn.RReLU(), Drops(),
        DropsLater(), DropsInside(), Noisy(), Counts(), nn.Sequential(Noisy()),
    ],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_what_depends_on_the_mode_is_found(module: nn.Module) -> None:
    assert depends_on_mode(module)


@pytest.mark.parametrize("name", ["impala_deep", "impala_shallow", "mlp"])
def test_the_built_in_networks_do_not(name: str) -> None:
    assert not depends_on_mode(
        build_embedding(AgentConfig(embedding=name, embedding_size=16), (42, 42, 4))
    )


def test_a_user_s_plain_network_does_not() -> None:
    assert not depends_on_mode(Plain())
    assert not depends_on_mode(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3), nn.SiLU()))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_code_that_cannot_be_seen_may() -> None:
    assert depends_on_mode(nn.Sequential(torch.jit.script(nn.Linear(2, 2))))
