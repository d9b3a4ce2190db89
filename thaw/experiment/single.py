"""One run, evaluation or film by itself, without a suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, override


def single_spec(plain: dict[str, Any], overrides: Sequence[str]) -> RunSpec:
    """Build the description of a single run."""
    for item in overrides:
        if item.partition("=")[0].split(".")[0] not in ("agent", "environment", "evaluation"):
            raise InputError(
                f"--set {item}: a single run has agent.*, environment.* and evaluation.*"
            )
        override(plain, item)
    return from_plain(plain, RunSpec, "the run")


def check_trained_actions(origin: RunSpec | None, place: Flavor, options: dict[str, Any]) -> None:
    """Check that the actions' names, where both flavors have them, are those of the training."""
    from thaw.envs.families import flavor_spaces
    from thaw.envs.spaces import check_same_actions

    if origin is None:
        return
    there = flavor_spaces(origin.flavor, origin.environment_options)
    here = flavor_spaces(place, options)
    if there.action_meanings is not None and here.action_meanings is not None:
        check_same_actions(origin.flavor, there, place, here)
