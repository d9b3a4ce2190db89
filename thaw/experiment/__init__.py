"""A suite: many runs, their folder and their report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.runtime import Runtime
from thaw.config.suite import Suite

if TYPE_CHECKING:
    from thaw.experiment.processes import Summary


def run(
    suite: Suite | str,
    out: str | Path,
    *,
    overrides: Iterable[str] = (),
    num_workers: int | None = None,
    runtime: Runtime | None = None,
) -> Summary:
    """Execute a suite on this machine, or go on with it, and derive its tables.

    Runs are processes: in a script, call it below ``if __name__ == "__main__":``.

    Args:
        suite: A Suite, a built-in name, a YAML file or ``module:function``.
        out: The suite's folder.
        overrides: ``dotted.key=value`` items that win over the suite.
        num_workers: Runs at once; by default one for each core, or a few on a GPU.
        runtime: Device and cadence; decides no result.

    Raises:
        InputError: Anything wrong with the suite or the folder; nothing is written then.
    """
    from thaw.config.strict import from_plain, to_plain
    from thaw.experiment.execute import execute
    from thaw.experiment.suites import load_suite

    if isinstance(suite, Suite):
        suite = from_plain(to_plain(suite), Suite, suite.name)  # validate what code has built
    else:
        suite = load_suite(suite, overrides)
    return execute(suite, out, num_workers=num_workers, runtime=runtime or Runtime())
