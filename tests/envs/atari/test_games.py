from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("envpool", reason="the extra thaw[atari] is not installed")

import envpool
from ale_py import roms
from ale_reference import THE_13_FLAVORS
from envpool.atari.registration import atari_rom_path

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.atari import games as atari_games
from thaw.envs.atari.games import (
    Variant,
    ask_ale,
    describe_atari,
    list_atari_flavors,
    list_games,
    parse_variant,
)
from thaw.envs.atari.vector_env import envpool_task, make_atari


def test_every_game_of_ale_has_its_task_and_its_rom_in_envpool() -> None:
    games = list_games()
    assert len(games) > 100
    assert games == sorted(games)
    assert {game for game, _, _ in THE_13_FLAVORS} < set(games)
    assert {envpool_task(game) for game in games} <= set(envpool.list_all_envs())
    for game in games:
        path = roms.get_rom_path(game)
        assert path is not None
        assert (Path(atari_rom_path) / f"{game}.bin").read_bytes() == path.read_bytes(), game


def test_games_for_two_are_not_listed() -> None:
    assert set(roms.get_all_rom_ids()) - set(list_games()) == {
        "combat", "joust", "maze_craze", "warlords"
    }  # fmt: skip


@pytest.mark.slow
def test_every_game_makes_one_step() -> None:
    for game in list_games():
        env = make_atari(Flavor(f"atari/{game}"), 1, {})
        observations, _ = env.reset(seed=0)
        assert env.observation_space.contains(env.step(env.action_space.sample())[0])
        assert observations.shape == (1, 84, 84, 4)
        env.close()
    # All are loaded by now; to ask for variants of every game loads them all, too.
    assert {"atari/space_invaders@m9d0", "atari/freeway@m1d1"} <= set(list_atari_flavors("*@m*"))


@pytest.mark.parametrize(
    ("game", "variant", "expected"),
    [
        ("breakout", "m12d1", (12, 1)),
        ("breakout", "default", (0, 0)),
        ("centipede", "default", (22, 0)),
        ("air_raid", "default", (1, 0)),
        ("backgammon", "default", (0, 3)),
    ],
)
def test_variants(game: str, variant: str, expected: tuple[int, int]) -> None:
    assert parse_variant(Flavor(f"atari/{game}@{variant}")) == expected
    assert str(Variant(*expected)) in map(str, ask_ale(game).variants)


@pytest.mark.parametrize(
    ("game", "variant", "words"),
    [
        ("breakout", "m1d0", ["no mode 1", "0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44", "0, 1"]),
        ("hero", "m0d1", ["no difficulty 1", "modes 0, 1, 2, 3, 4 ", "difficulties 0,"]),
        ("freeway", "m8d0", ["no mode 8", "0, 1, 2, 3, 4, 5, 6, 7 "]),
        ("freeway", "m01d0", ["'m01d0' is not m<mode>d<difficulty>"]),
        ("freeway", "d0m1", ["'d0m1' is not m<mode>d<difficulty>", "'atari/freeway@m0d0'"]),
        ("space_invader", "default", ["did you mean 'space_invaders'?", "`thaw flavors"]),
        ("combat", "default", ["unknown game 'atari/combat'"]),
    ],
)
def test_wrong_flavors_are_told_the_right_ones(game: str, variant: str, words: list[str]) -> None:
    with pytest.raises(InputError, match=r"^(?!.*\n)") as error:
        parse_variant(Flavor(f"atari/{game}@{variant}"))
    for word in words:
        assert word in str(error.value)


def test_flavors_are_listed_with_variants_where_a_game_is_picked() -> None:
    assert list_atari_flavors() == [f"atari/{game}" for game in list_games()]
    assert list_atari_flavors("atari/*") == list_atari_flavors("atari") == list_atari_flavors()
    hero = ["atari/hero", *(f"atari/hero@m{mode}d0" for mode in range(5))]
    assert list_atari_flavors("hero") == list_atari_flavors("atari/hero@m9*") == hero
    both = list_atari_flavors("atari/fr[eo]*")
    assert {"atari/freeway@m7d1", "atari/frogger"} < set(both)
    assert not any(address.startswith("atari/hero") for address in both)
    assert list_atari_flavors("catch") == []
    for address in both:
        assert Flavor(address) == address


def test_the_machine_is_described() -> None:
    assert describe_atari("breakout") == {
        "rom": "breakout",
        "rom_md5": "f34f08e5eb96e500e851a80be3277a56",
        "ale_py": version("ale-py"),
        "envpool": version("envpool"),
    }


def test_a_foreign_rom_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pong.bin").write_bytes(b"not Pong")
    monkeypatch.setattr("envpool.atari.registration.atari_rom_path", str(tmp_path))
    with pytest.raises(InputError, match=r"EnvPool's ROM of pong .* is not ale-py's"):
        describe_atari("pong")


def test_without_the_packages_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "envpool", None)
        with pytest.raises(InputError, match=r"EnvPool.*pip install 'thaw\[atari\]'"):
            make_atari(Flavor("atari/breakout"), 1, {})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ale_py", None)
        atari_games._roms.cache_clear()
        with pytest.raises(InputError, match=r"ale-py.*pip install 'thaw\[atari\]'"):
            list_atari_flavors()
    assert list_games()


def test_nothing_is_printed() -> None:
    program = (
        "from thaw.envs.atari.vector_env import make_atari;"
        "from thaw.config.flavor import Flavor;"
        "env = make_atari(Flavor('atari/breakout@m12d0'), 1, {});"
        "env.reset(seed=0); env.step(env.action_space.sample())"
    )
    # With this variable ale-py tells where it looks.
    roms_folder = str(Path(roms.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ALE_ROMS_DIR": roms_folder},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""
