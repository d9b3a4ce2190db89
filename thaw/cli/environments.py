"""``thaw flavors`` and ``gallery``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import check_at_least, environments_on_stderr, print_json, say
from thaw.cli.parsing import WITH_TRUST, Json, Set, SuiteName, TrustCode
from thaw.config.errors import InputError
from thaw.experiment.suites import load_suite_to_execute


def flavors(
    pattern: Positional[Annotated[str, tyro.conf.arg(metavar="PATTERN")]] = "*",
    *,
    as_json: Json = False,
) -> int:
    """List the flavors that ship.

    Args:
        pattern: A shell pattern or a part of the address.
        as_json: Print one JSON document.
    """
    from thaw.envs.families import list_flavors

    found = list_flavors(pattern)
    if as_json:
        print_json(found)
    elif found:
        print("\n".join(found))
    else:
        say(f"no flavor matches '{pattern}'; `thaw flavors` lists all")
    return 0


def gallery(
    suite: Positional[SuiteName],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")],
    overrides: Set = (),
    trust_code: TrustCode = False,
    steps: int = 20,
) -> int:
    """Draw the default flavors of a suite beside their variants, after the same actions.

    Args:
        suite: Built-in name, .yaml file, or module:function.
        out: The picture, .png.
        overrides: As for run.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        steps: Seeded random decisions before the picture is taken.
    """
    from thaw.experiment.gallery import draw_gallery
    from thaw.files.atomic import check_out

    if out.suffix != ".png" or out.is_dir():
        raise InputError(f"--out {out} is not a .png file")
    check_out(out.parent)
    check_at_least("--steps", steps, 0)
    chosen = load_suite_to_execute(suite, overrides, trust_code=trust_code, how=WITH_TRUST)
    with environments_on_stderr():
        draw_gallery(chosen, out, num_steps=steps)
    print(out)
    return 0
