"""``thaw publish``: a suite's results for a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import say
from thaw.cli.parsing import Folder
from thaw.experiment.published import publish_suite
from thaw.experiment.reporting import report_suite


def publish(
    folders: Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR")]],
    *,
    out: Folder,
) -> int:
    """Copy a suite's results, without policies and logs, into a small folder with its report.

    Args:
        folders: The suite's folder, the --out of `thaw run`. Several are parts of one suite, each
            with seeds of its own; parts that are published already count too.
        out: Gets suite.yaml, scores.csv, curves.csv.gz, runs.jsonl.gz and report/. `thaw
            report` rebuilds the report from the rest, with curves that can be explored.
    """
    published = publish_suite(folders, out)
    report_suite(out, interactive=False)
    missing = f", {published.num_missing} are missing" if published.num_missing else ""
    say(f"{published.num_runs} runs{missing}; {published.num_bytes / 1e6:.2f} MB and the report")
    return 0
