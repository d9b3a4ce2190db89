"""Which Atari flavors there are: the games, modes, difficulties and actions, all asked of ALE.

ALE loads a game in about 0.1 seconds (it plays 60 frames), so a game is asked only when it is
named, and once a process.
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


class Variant(NamedTuple):
    """The positions of the console's game select and of its difficulty switches."""

    mode: int
    difficulty: int

    def __str__(self) -> str:
        return f"m{self.mode}d{self.difficulty}"


class Game(NamedTuple):
    """What ALE says about one game."""

    name: str
    modes: tuple[int, ...]
    """In ALE's order; they may have holes and need not begin at 0."""
    difficulties: tuple[int, ...]
    default: Variant
    """What ALE plays unasked."""
    all_actions: tuple[str, ...]
    """The joystick's actions, at most 18."""
    minimal_actions: tuple[str, ...]
    """Those that do something in this game."""
    rom_md5: str

    @property
    def variants(self) -> list[Variant]:
        """Every mode with every difficulty."""
        return [Variant(m, d) for m in self.modes for d in self.difficulties]


def list_games() -> list[str]:
    """List the games that ALE ships, by ROM id (``space_invaders``), in order of the alphabet.

    Without those that only two can play, which ALE's interface for one player refuses.

    Raises:
        InputError: ale-py is not installed.
    """
    return list(_roms())


@functools.cache
def ask_ale(name: str) -> Game:
    """Return what ALE says about a game.

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
    # Backgammon stands at difficulty 0 in ALE, which ALE then does not list: take one it lists.
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


def parse_variant(name: str, variant: str) -> Variant:
    """Read ``m<mode>d<difficulty>``, or ``default`` for what ALE plays unasked.

    Args:
        name: The game's ROM id.
        variant: As in ``atari/breakout@m12d0``.

    Raises:
        InputError: No such game, not of that form, or a mode or difficulty that it has not.
    """
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
        f"unknown flavor 'atari/{name}@{variant}': {problem}; {name} has the modes "
        f"{', '.join(map(str, game.modes))} and the difficulties "
        f"{', '.join(map(str, game.difficulties))}, as in 'atari/{name}@{game.default}'"
    )


def list_atari_flavors(pattern: str = "*") -> list[str]:
    """List Atari addresses, among them all that match a shell pattern or contain it.

    Every game is listed as ``atari/<game>``, its default flavor. Its modes and difficulties
    follow where the pattern picks out some games (``atari/breakout*``, ``hero``) or asks for
    variants (``*@m1d1``: all games must then be loaded, which takes about ten seconds).

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
    """Describe what plays a game, for machine.json: the ROM's checksum and the versions.

    Raises:
        InputError: No such game, EnvPool or ale-py are not installed, or their ROMs differ.
    """
    return {
        "rom": name,
        "rom_md5": check_rom(name),
        "ale_py": _version("ale-py"),
        "envpool": _version("envpool"),
    }


def check_rom(name: str) -> str:
    """Return the MD5 of EnvPool's ROM of a game, having compared it with ale-py's.

    EnvPool plays a copy of its own; modes asked of one ROM say nothing about another.

    Raises:
        InputError: No such game, EnvPool or ale-py are not installed, or the ROMs differ.
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
            f"take the newest of both: {install_hint('atari').replace('install', 'install -U')}"
        )
    return md5


def missing(package: str) -> InputError:
    """Return the error for an extra that is not installed."""
    return InputError(f"Atari needs {package}, which is not installed: {install_hint('atari')}")


@functools.cache
def _roms() -> dict[str, Path]:
    try:
        import ale_py
        from ale_py import roms
    except ImportError:
        raise missing("ale-py") from None
    # ALE introduces itself and every game on the console, and `--json` must print nothing else.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    paths: dict[str, Path] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # get_rom_path prints where it looks
        for name in sorted(roms.get_all_rom_ids()):
            path = roms.get_rom_path(name)
            # Loading an unsupported ROM would end the process, so ask first.
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
