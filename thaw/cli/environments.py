"""``thaw flavors`` and ``gallery``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import print_json, prints_on_stderr
from thaw.cli.parsing import WITH_TRUST, Json, Set, SuiteName, TrustCode
from thaw.config.errors import InputError, check_at_least
from thaw.experiment.suites import load_suite_to_execute


def flavors(
    pattern: Positional[Annotated[str, tyro.conf.arg(metavar="PATTERN")]] = "*",
    *,
    as_json: Json = False,
) -> int:
    """List the built-in flavors.

    Args:
        pattern: List only addresses that match this shell pattern or contain this text.
        as_json: Print one JSON document.
    """
    from thaw.envs.families import list_flavors

    found = list_flavors(pattern)
    if as_json:
        print_json(found)
    elif found:
        print("\n".join(found))
    else:
        raise InputError(f"no flavor matches '{pattern}'; `thaw flavors` lists all")
    return 0


def gallery(
    suite: Positional[SuiteName],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")],
    overrides: Set = (),
    trust_code: TrustCode = False,
    steps: int = 20,
) -> int:
    """Draw each source flavor of a suite, and next to it its targets, after the same actions.

    Args:
        suite: A built-in suite, a .yaml file, or module:function.
        out: The picture, a .png file.
        overrides: As for `thaw run`.
        trust_code: Execute the code that the file names. Only for files that you trust.
        steps: How many random decisions to make before the picture is taken.
    """
    from thaw.experiment.gallery import draw_gallery
    from thaw.files.atomic import check_out

    if out.suffix != ".png" or out.is_dir():
        raise InputError(f"--out {out} is not a .png file; give one, as in --out flavors.png")
    check_out(out.parent)
    check_at_least("--steps", steps, 0)
    chosen = load_suite_to_execute(suite, overrides, trust_code=trust_code, how=WITH_TRUST)
    with prints_on_stderr():
        draw_gallery(chosen, out, num_steps=steps)
    print(out)
    return 0
