"""The loading of any suite: built in, a YAML file, or a function of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thaw.config.errors import InputError, nearest
from thaw.config.presets import expand_preset, set_values
from thaw.config.strict import from_plain, parse_yaml, to_plain
from thaw.config.suite import Suite
from thaw.config.trust import check_code, code_named_in
from thaw.config.user_code import call_by_name
from thaw.experiment.built_in import BUILT_IN
from thaw.experiment.sources import check_network, complete_from


def load_suite(source: str | Path, overrides: Iterable[str] = ()) -> Suite:
    """Load a suite. A file is only read, nothing that it names is executed.

    Args:
        source: A built-in name, a YAML file, or ``module:function`` that returns a Suite; the
            function is called.
        overrides: ``dotted.key=value`` items that replace the suite's own values.

    Raises:
        InputError: The suite is unknown, or something in it is wrong.
    """
    text, overrides = str(source), tuple(overrides)
    if text in BUILT_IN:
        plain = to_plain(BUILT_IN[text]())
    elif _is_file(text):
        plain = read_suite_file(text)
    elif ":" in text:
        suite = call_by_name(text)
        if not isinstance(suite, Suite):
            raise InputError(f"'{text}' returned {type(suite).__name__}, not a thaw Suite")
        plain = to_plain(suite)
    else:
        raise InputError(
            f"unknown suite '{text}'{nearest(text, BUILT_IN)} Built in: "
            f"{', '.join(BUILT_IN)}; or a .yaml file, or module:function"
        )
    set_values(plain, overrides)
    checkpoint = _first_checkpoint(plain)
    if checkpoint is None:
        expand_preset(plain, _first_source(plain))
        return from_plain(plain, Suite, text)
    named = {item.partition("=")[0].removeprefix("agent.").split(".")[0] for item in overrides}
    if _is_file(text):  # the agents of other suites are complete
        named |= set(plain.get("agent", {}))
    complete_from(plain, checkpoint, named)
    suite = from_plain(plain, Suite, text)
    check_network(suite.agent, checkpoint)
    return suite


def read_suite_file(path: str) -> dict[str, Any]:
    """Read a suite file as it is written.

    Raises:
        InputError: It cannot be read, or is no mapping.
    """
    try:
        plain = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"suite file '{path}' cannot be read: {error.strerror}"
            f"{nearest(Path(path).stem, BUILT_IN)} Give the path of a .yaml file, or the name of a "
            f"built-in suite: {', '.join(BUILT_IN)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"suite file '{path}' cannot be read: {reason}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(plain, dict):
        raise InputError(f"{path}: a suite file is a mapping (name: ..., transfers: ...)")
    return plain


def load_suite_to_execute(
    source: str | Path, overrides: Iterable[str] = (), *, trust_code: bool, how: str
) -> Suite:
    """Load a suite whose environments and network will be made.

    Args:
        source: As for :func:`load_suite`.
        overrides: As for :func:`load_suite`; the user named the code in them.
        trust_code: Allow a file to name any code.
        how: What to type for a file that is trusted; part of the error.

    Raises:
        InputError: As :func:`load_suite`, or a file names code that the overrides do not.
    """
    overrides = tuple(overrides)
    suite = load_suite(source, overrides)
    if _is_file(str(source)) and not trust_code:
        check_code(str(source), code_named_in(suite), overrides, how)
    return suite


def _first_checkpoint(plain: dict[str, Any]) -> str | None:
    """Return the first policy that replaces a pretraining, if the suite has one as it should."""
    pattern, seeds = plain.get("source_checkpoint"), plain.get("seeds")
    if not isinstance(pattern, str) or not isinstance(plain.get("agent", {}), dict):
        return None  # the strict reader says what is wrong
    seed = seeds[0] if isinstance(seeds, list | tuple) and seeds else 0
    path = pattern.replace("{seed}", str(seed)).replace("{source}", str(_first_source(plain)))
    return None if "{" in path else path


def _first_source(plain: dict[str, Any]) -> object:
    """Return the source flavor of the first transfer, if the suite has one as it should."""
    try:
        return plain["transfers"][0]["source"]
    except (KeyError, IndexError, TypeError):
        return None


def _is_file(source: str) -> bool:
    """Return whether a suite comes from a file, not from thaw or from the user's module."""
    return source not in BUILT_IN and (source.endswith((".yaml", ".yml")) or Path(source).is_file())
