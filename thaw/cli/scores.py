"""``thaw scores``: logs of other programs become a file for ``thaw report --scores``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import say
from thaw.cli.parsing import Number
from thaw.config.errors import InputError, check_at_least, nearest

Text = Annotated[str | None, tyro.conf.arg(metavar="NAME")]


def scores(
    places: Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR|FILE")]],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.csv")],
    pattern: Annotated[str, tyro.conf.arg(metavar="PATTERN")] = "{target}/{condition}/seed{seed}",
    curves: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    kind: Annotated[
        str | None, tyro.conf.arg(metavar="monitor|evaluations|tensorboard|wandb|csv")
    ] = None,
    value: Text = None,
    step: Text = None,
    last: Number = None,
    target: Text = None,
    condition: Text = None,
) -> int:
    """Read the logs of other programs into scores and curves for a report.

    Args:
        places: Folders with logs at any depth, or files.
        out: The file of scores to write.
        pattern: Where a path has the names of its run. * stands for anything.
        curves: The file of curves to write. By default curves.csv beside the scores.
        kind: Which logs to read, where there are several kinds.
        value: The tag or column that holds the returns.
        step: The column that holds the steps of a CSV file.
        last: How many of a run's last values give its score.
        target: The target, where the pattern has none.
        condition: The condition, where the pattern has none.
    """
    from thaw.files.atomic import check_out, write_files
    from thaw.report.logs import collect_scores
    from thaw.report.logs.collect import KINDS

    if not places:
        raise InputError("thaw scores needs DIR or FILE, where the logs are")
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind '{kind}'{nearest(kind, KINDS)} Allowed: {', '.join(KINDS)}")
    check_at_least("--last", last, 1)
    curves = curves or out.with_name("curves.csv")
    for path in (out, curves):
        if path.suffix != ".csv" or path.is_dir():
            raise InputError(f"{path}: the file to write must end with .csv")
        check_out(path.parent)
    if out == curves:
        raise InputError(f"scores and curves would both be {out}; give another --out or --curves")
    named = {"target": target, "condition": condition}
    fixed = {name: text for name, text in named.items() if text is not None}
    found = collect_scores(
        places, pattern, kind=next((k for k in KINDS if k == kind), None), value=value, step=step,
        last=last, fixed=fixed,
    )  # fmt: skip
    for path, frame in ((curves, found.curves), (out, found.scores)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, {path.name: frame.to_csv(index=False).encode()})
    for note in found.notes:
        say(f"thaw: {note}")
    print(f"{len(found.scores)} runs from {found.kind}: {out}, {curves}")
    print(f"thaw report --scores {out} --curves {curves} --out report")
    return 0
