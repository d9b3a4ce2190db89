"""``thaw report``, and how a report ends in the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import say
from thaw.cli.parsing import CsvFile, Switch
from thaw.config.errors import InputError
from thaw.experiment.reporting import report_suite

if TYPE_CHECKING:
    from thaw.report.verdict import Verdict


def report(
    folder: Positional[Annotated[Path | None, tyro.conf.arg(metavar="DIR")]] = None,
    *,
    scores: CsvFile = None,
    curves: CsvFile = None,
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    normalize: Switch = False,
    paired: Switch = False,
    margin: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None,
    bounds: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None,
    static: Switch = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Write tables, figures and a page from a suite's folder, or from a file of scores.

    Args:
        folder: The suite's folder, the --out of `thaw run`. Runs may be missing.
        scores: Instead: a CSV file with the columns target, condition, seed, mean_return.
        curves: With --scores: a CSV file with the column steps beside those four.
        baseline: With --scores: the condition that plays the part of scratch.
        normalize: With --scores: divide returns by those of the baseline.
        paired: With --scores: runs of one seed start from one pretrained policy.
        margin: With --scores: two conditions whose returns differ by less count as equal.
        bounds: With --scores: the lowest and the highest possible return.
        static: Learning curves as pictures that cannot be explored; the page is 1.2 MB smaller.
        out: The folder to write into. By default DIR/report.
    """
    if (folder is None) == (scores is None):
        raise InputError("give either a suite's folder or --scores FILE.csv --out DIR")
    from thaw.files.atomic import check_out

    if out is not None:
        check_out(out)
    if folder is not None:
        _check_for_scores_only(curves, baseline, normalize, paired, margin, bounds)
        reported = report_suite(folder, out, interactive=not static)
        print_report(reported.page, reported.verdicts, reported.left_out)
        return 0
    from thaw.report.in_memory import report as report_scores

    if out is None:
        raise InputError("--scores needs --out DIR, the folder to write the report into")
    made = report_scores(
        scores=scores, curves=curves, baseline=baseline, normalize=normalize, paired=paired,
        margin=margin, bounds=bounds,
    )  # fmt: skip
    print_report(made.write(out, interactive=not static), made.verdicts)
    return 0


def _check_for_scores_only(
    curves: Path | None,
    baseline: str | None,
    normalize: bool,
    paired: bool,
    margin: float | None,
    bounds: tuple[float, float] | None,
) -> None:
    """Refuse the options of --scores for a suite's folder, which has its own values.

    Raises:
        InputError: One of them was given.
    """
    given = {
        "--curves": (curves is not None, "the folder has its own curves"),
        "--baseline": (baseline is not None, "in a suite the baseline is scratch"),
        "--normalize": (normalize, "set report.normalize in its suite.yaml"),
        "--paired": (paired, "a suite pairs the runs that share a pretraining"),
        "--margin": (margin is not None, "set report.margin in its suite.yaml"),
        "--bounds": (bounds is not None, "set report.bounds in its suite.yaml"),
    }
    for option, (is_given, instead) in given.items():
        if is_given:
            raise InputError(
                f"{option} is for --scores FILE.csv, not for a suite's folder; {instead}"
            )


def print_report(page: Path, judged: Sequence[Verdict], left_out: Sequence[str] = ()) -> None:
    """Print what a report leaves out, its verdicts, its main table, and where its page is.

    The other tables are in table.md and on the page.
    """
    from thaw.report.summary import summary

    for line in left_out:
        say(f"thaw: {line}")
    print("\n".join(summary(judged)), end="\n\n")
    main, *others = (page.parent / "table.md").read_text(encoding="utf-8").split("\n### ")
    print(main)
    if others and (diverged := re.search(r"^Diverged .*$", others[-1], re.MULTILINE)):
        print(f"{diverged[0]}\n")
    print(f"report: {page}")
