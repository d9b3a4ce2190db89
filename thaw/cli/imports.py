"""``thaw import``: a policy from elsewhere becomes a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from thaw.cli.parsing import Folder, Set
from thaw.config.errors import InputError

Maps = Annotated[tuple[str, ...], tyro.conf.arg(name="map", metavar="MODULE=PART"),
                 tyro.conf.UseAppendAction]  # fmt: skip


def import_(
    library: Positional[Annotated[Literal["sb3", "torch"], tyro.conf.arg(metavar="LIBRARY")]],
    file: Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]],
    *,
    out: Folder,
    flavor: Annotated[str | None, tyro.conf.arg(metavar="FLAVOR")] = None,
    maps: Maps = (),
    embedding: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    head: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    overrides: Set = (),
) -> int:
    """Make a checkpoint folder of a policy from another library, without executing its code.

    Args:
        library: sb3 (a model.zip of Stable-Baselines3) or torch (weights as safetensors).
        file: The file.
        out: A new folder, which evaluate, record, transfer and suites take as a checkpoint.
        flavor: An environment that the policy must fit. torch needs it.
        maps: For torch, which module of the file is which part here, as in --map actor=head.policy.
        embedding: For torch, the embedding, as in nature; docs/networks.md has all.
        head: For torch, the head, as in feedforward.
        overrides: Change agent.* or environment.*, as in --set agent.learning_rate=1e-4.
    """
    from thaw.experiment.imports import import_sb3, import_torch
    from thaw.policy.parts_table import sizes_of

    if library == "sb3":
        given = {"--map": maps, "--embedding": embedding, "--head": head}
        if extra := [name for name, value in given.items() if value]:
            raise InputError(f"{extra[0]} is for `thaw import torch`; a zip of sb3 says it itself")
        done = import_sb3(file, out, flavor=flavor, overrides=overrides)
    else:
        if flavor is None or not maps:
            raise InputError(
                "thaw import torch needs --flavor FLAVOR and at least one --map MODULE=PART, as in "
                "--flavor gym/CartPole-v1 --map actor=head.policy"
            )
        words = {"embedding": embedding, "head": head}
        named = [f"agent.{name}={value}" for name, value in words.items() if value]
        done = import_torch(file, out, flavor=flavor, maps=maps, overrides=[*named, *overrides])
    policy = done.policy
    print(
        f"{out}: a policy for observations {list(policy.observation_shape)} and "
        f"{policy.num_actions} actions"
    )
    for part, size in sizes_of(policy):
        print(f"  {part}  {size:,} parameters")
    return 0
