from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from envpool_games import play, short

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.envpool.procgen import PROCGEN_ACTIONS, list_procgen
from thaw.envs.families import list_flavors, make_env
from thaw.envs.spaces import action_meanings
from thaw.experiment.built_in import procgen_quick
from thaw.experiment.check import check_suite
from thaw.experiment.execute import run
from thaw.testing import check_environment

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'thaw[envpool]'")


def procgen_works() -> str | None:
    """Return why Procgen does not work here, or None: its Qt 5 may need system libraries."""
    try:
        make_env("procgen/coinrun").close()
    except InputError as error:
        return str(error)
    return None


NO_PROCGEN = procgen_works()
needs_procgen = pytest.mark.skipif(NO_PROCGEN is not None, reason=str(NO_PROCGEN))


@needs_procgen
def test_only_the_levels_asked_for_are_played() -> None:
    env = make_env("procgen/coinrun@levels40-42?difficulty=easy&max_episode_steps=5", 4)
    _, info = env.reset(seed=0)
    seen = set(info["level_seed"].tolist())
    for _ in range(60):
        *_, info = env.step(np.full(4, 4))
        seen |= set(info["level_seed"].tolist())
    assert seen == {40, 41, 42}
    env.close()


@needs_procgen
def test_a_difficulty_and_a_look_are_options() -> None:
    usual = play("procgen/coinrun@levels0-0", 0)[0]
    easy = play("procgen/coinrun@levels0-0?difficulty=easy", 0)[0]
    plain = play("procgen/coinrun@levels0-0?use_backgrounds=false", 0)[0]
    assert usual.shape == (2, 64, 64, 3)
    assert not np.array_equal(usual, easy)
    assert not np.array_equal(usual, plain)


@needs_procgen
def test_names_of_procgen_actions() -> None:
    env = make_env("procgen/coinrun")
    assert action_meanings(env) == PROCGEN_ACTIONS
    assert len(PROCGEN_ACTIONS) == env.single_action_space.n  # type: ignore[attr-defined]
    env.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("procgen/conrun", r"did you mean 'coinrun'"),
        ("procgen/coinrun@easy", r"not levels<first>-<last>.*\?difficulty=easy"),
        ("procgen/coinrun@levels9-3", r"first level that is not above the last"),
        ("procgen/coinrun?difficulty=memory", r"coinrun has easy, hard, exploration"),
        ("procgen/coinrun?difficulty=brutal", r"difficulty"),
    ],
)
def test_wrong_procgen_addresses(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)


@needs_procgen
def test_a_wrong_option_of_procgen_is_named() -> None:
    with pytest.raises(InputError, match=r"no option 'use_background'; did you mean"):
        make_env("procgen/coinrun?use_background=false")


def test_the_sixteen_games_and_their_difficulties() -> None:
    games = list_procgen()
    assert len(games) == 16
    assert games["caveflyer"] == ["easy", "hard", "memory", "exploration"]


def test_flavors_of_one_game_are_different_words() -> None:
    assert Flavor("procgen/coinrun@levels0-9") != Flavor("procgen/coinrun")


@needs_procgen
def test_the_check_finds_nothing_in_procgen() -> None:
    check_environment("procgen/coinrun@levels0-9?difficulty=easy&max_episode_steps=50")


def test_listing() -> None:
    assert list_flavors("coinrun") == ["procgen/coinrun", "procgen/coinrun@levels<first>-<last>"]


@pytest.mark.slow
@needs_procgen
def test_procgen_quick(tmp_path: Path) -> None:
    summary = run(short("procgen-quick"), tmp_path, num_workers=2)
    assert not summary.failed
    # Pretraining and random play on the source, two conditions on the target.
    assert len(summary.done) == 2 + 2


@needs_procgen
def test_the_transfers_fit() -> None:
    assert [flavor.variant for flavor in check_suite(procgen_quick())] == [
        "levels0-9", "levels1000-1009",
    ]  # fmt: skip
