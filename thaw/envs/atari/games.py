"""The Atari flavors: games, modes, difficulties and actions, as ALE reports them.

ALE needs about 0.1 seconds to load a game (it plays 60 frames), so thaw loads only games that are
named, and each only once in a process.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import re
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from thaw.config.errors import InputError, install_hint, nearest
from thaw.config.flavor import Flavor


class Variant(NamedTuple):
    """The settings of the console's game select and difficulty switches."""

    mode: int
    difficulty: int

    def __str__(self) -> str:
        return f"m{self.mode}d{self.difficulty}"


class Game(NamedTuple):
    """What ALE reports about one game."""

    name: str
    modes: tuple[int, ...]
    """In ALE's order; they may have gaps and need not start at 0."""
    difficulties: tuple[int, ...]
    default: Variant
    """The mode and difficulty that ALE plays by default."""
    all_actions: tuple[str, ...]
    """The joystick's actions, at most 18."""
    minimal_actions: tuple[str, ...]
    """The actions that have an effect in this game."""
    rom_md5: str

    @property
    def variants(self) -> list[Variant]:
        """All pairs of a mode and a difficulty."""
        return [Variant(m, d) for m in self.modes for d in self.difficulties]


def list_games() -> list[str]:
    """List the games that ALE ships, by ROM id (``space_invaders``), in alphabetical order.

    Games for two players only are left out: ALE's interface for one player refuses them.

    Raises:
        InputError: ale-py is not installed.
    """
    return list(_roms())


@functools.cache
def ask_ale(name: str) -> Game:
    """Return what ALE reports about a game.

    Raises:
        InputError: No such game, or ale-py is not installed.
    """
    roms = _roms()
    if name not in roms:
        raise InputError(
            f"unknown game 'atari/{name}'{nearest(name, roms)} ALE has {len(roms)} games, by "
            "names like space_invaders; `thaw flavors 'atari/*'` lists them"
        )
    import ale_py

    ale = ale_py.ALEInterface()
    ale.loadROM(roms[name])
    modes, difficulties = ale.getAvailableModes(), ale.getAvailableDifficulties()
    state = ale.cloneState()
    # ALE starts Backgammon at difficulty 0 but does not list it: take the first that it lists.
    difficulty = state.getDifficulty()
    difficulty = difficulty if difficulty in difficulties else difficulties[0]
    return Game(
        name,
        tuple(modes),
        tuple(difficulties),
        Variant(state.getCurrentMode(), difficulty),
        tuple(action.name for action in ale.getLegalActionSet()),
        tuple(action.name for action in ale.getMinimalActionSet()),
        _md5(roms[name]),
    )


def parse_variant(flavor: Flavor) -> Variant:
    """Return the mode and difficulty of a flavor; ALE's default if it has no variant.

    Args:
        flavor: ``atari/<game>@m<mode>d<difficulty>``, as ``atari/breakout@m12d0``.

    Raises:
        InputError: No such game, a variant of another form, or a mode or difficulty that the game
            does not have.
    """
    name, variant = flavor.name, flavor.variant
    game = ask_ale(name)
    if variant == "default":
        return game.default
    match = re.fullmatch(r"m(0|[1-9]\d*)d(0|[1-9]\d*)", variant)
    problem = f"'{variant}' is not m<mode>d<difficulty>"
    if match is not None:
        wanted = Variant(int(match[1]), int(match[2]))
        if wanted in game.variants:
            return wanted
        wrong = wanted.mode not in game.modes
        problem = f"no mode {wanted.mode}" if wrong else f"no difficulty {wanted.difficulty}"
    raise InputError(
        f"unknown flavor '{flavor}': {problem}; {name} has the modes "
        f"{', '.join(map(str, game.modes))} and the difficulties "
        f"{', '.join(map(str, game.difficulties))}, as in 'atari/{name}@{game.default}'"
    )


def list_atari_flavors(pattern: str = "*") -> list[str]:
    """List Atari addresses, at least all that match a shell pattern or contain it.

    Every game is listed as ``atari/<game>``, its default flavor. Its modes and difficulties
    follow if the pattern selects some games (``atari/breakout*``, ``hero``) or variants
    (``*@m1d1``: ALE must then load all games, which takes about ten seconds).

    Raises:
        InputError: ale-py is not installed.
    """
    games = list_games()
    head, asks_for_variants, _ = pattern.partition("@")
    picked = [name for name in games if fnmatch(f"atari/{name}", head) or head in f"atari/{name}"]
    if len(picked) == len(games) and not asks_for_variants:
        return [f"atari/{name}" for name in games]
    addresses = []
    for name in picked:
        addresses.append(f"atari/{name}")
        addresses += [f"atari/{name}@{variant}" for variant in ask_ale(name).variants]
    return addresses


def describe_atari(name: str) -> dict[str, str | None]:
    """Return what machine.json records about a game: the ROM's checksum and the versions.

    Raises:
        InputError: No such game, EnvPool or ale-py is not installed, or their ROMs differ.
    """
    return {
        "rom": name,
        "rom_md5": check_rom(name),
        "ale_py": _version("ale-py"),
        "envpool": _version("envpool"),
    }


def check_rom(name: str) -> str:
    """Return the MD5 of EnvPool's ROM of a game, after checking that ale-py's is the same.

    EnvPool has its own copy of each ROM, and thaw reads the modes from ale-py's copy.

    Raises:
        InputError: No such game, EnvPool or ale-py is not installed, or the ROMs differ.
    """
    game = ask_ale(name)
    try:
        from envpool.atari.registration import atari_rom_path
    except ImportError:
        raise missing("EnvPool") from None
    path = Path(atari_rom_path) / f"{name}.bin"
    md5 = _md5(path) if path.exists() else "none"
    if md5 != game.rom_md5:
        raise InputError(
            f"EnvPool's ROM of {name} (MD5 {md5}) is not ale-py's (MD5 {game.rom_md5}); "
            f"update both: {install_hint('atari').replace('install', 'install -U')}"
        )
    return md5


def missing(package: str) -> InputError:
    """Return the error for a package that is not installed."""
    return InputError(f"Atari needs {package}, which is not installed: {install_hint('atari')}")


@functools.cache
def _roms() -> dict[str, Path]:
    try:
        import ale_py
        from ale_py import roms
    except ImportError:
        raise missing("ale-py") from None
    # ALE prints a banner and a line for every game, and `--json` must print nothing else.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    paths: dict[str, Path] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # get_rom_path prints where it looks
        for name in sorted(roms.get_all_rom_ids()):
            path = roms.get_rom_path(name)
            # Loading an unsupported ROM would end the process, so check first.
            if path is not None and ale_py.ALEInterface.isSupportedROM(path) == name:
                paths[name] = path
    return paths


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
