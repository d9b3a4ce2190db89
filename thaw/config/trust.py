"""A file is data: the code that it names runs only if the user named it too, or trusts the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.strict import Scalar, dump_scalar
from thaw.config.suite import Suite

PROGRAM_OPTIONS = (
    "adb_path", "emulator_path", "android_sdk_root", "android_avd_home", "apk", "kvm_device",
    "tmp_dir",
)  # fmt: skip
"""Options of environments that name a program, or a folder or file of which one is made."""


def code_named_in(part: Suite | RunSpec | AgentConfig | Flavor | None) -> tuple[str, ...]:
    """List what would be imported, called or started if this were made.

    That is an embedding's or a head's ``module:function``, the module of a ``gym/module:id``, the
    file of an AndroidEnv task, and options that name programs. A ``:`` in any other option counts
    as well: the environment may read it as ``module:name``.

    Returns:
        Words as a user types them: ``agent.embedding=my:net``, ``gym/helper:Foo-v0``,
        ``environment.adb_path=/x/adb``; empty for what can execute nothing but thaw.
    """
    match part:
        case None:
            return ()
        case AgentConfig():
            return tuple(f"agent.{name}={getattr(part, name)}" for name in part.code)
        case Flavor():
            is_task_file = part.family == "androidenv" and part.name != "catch"
            names_code = is_task_file or ":" in part.name
            place = (f"{part.family}/{part.name}",) if names_code else ()
            return place + _code_in_options(dict(part.options))
        case Suite():
            flavors = [flavor for t in part.transfers for flavor in (t.source, t.target)]
        case RunSpec():
            flavors = [part.flavor] if part.source is None else [part.flavor, part.source]
    found = [*code_named_in(part.agent), *_code_in_options(part.environment)]
    found += [code for flavor in flavors for code in code_named_in(flavor)]
    return tuple(dict.fromkeys(found))


def check_code(where: str, named: Iterable[str], said: Iterable[str], how: str) -> None:
    """Check that the user named all code that a file names.

    Args:
        where: The file.
        named: Its code, see :func:`code_named_in`.
        said: The user's own words, in the same form.
        how: What to type for a file that is trusted.

    Raises:
        InputError: The file names code that the user did not.
    """
    said = set(said)
    unsaid = dict.fromkeys(code for code in named if code not in said)
    if unsaid:
        # What cannot be printed could move the cursor and hide the rest.
        shown = ", ".join(code if code.isprintable() else ascii(code) for code in unsaid)
        raise InputError(
            f"{where} names code that this would execute: {shown}; if you trust it, {how}"
        )


def _code_in_options(options: Mapping[str, Scalar]) -> tuple[str, ...]:
    return tuple(
        f"environment.{name}={dump_scalar(value)}"
        for name, value in options.items()
        if value is not None and (name in PROGRAM_OPTIONS or ":" in str(value))
    )
