"""Suites as experiments: plan, store, execute."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config import Runtime, Suite

if TYPE_CHECKING:
    from thaw.experiment.execute import Summary


def run(
    suite: Suite | str,
    out: str | Path,
    *,
    overrides: Iterable[str] = (),
    num_workers: int | None = None,
    runtime: Runtime | None = None,
    trust_code: bool = False,
) -> Summary:
    """Execute a suite on this machine, or go on with it, and derive its tables.

    Runs are processes: in a script, call it below ``if __name__ == "__main__":``.

    Args:
        suite: A Suite, a built-in name, a YAML file or ``module:function``.
        out: The suite's folder.
        overrides: ``dotted.key=value`` items that win over the suite.
        num_workers: Runs at once; by default one for each core, or a few on a GPU.
        runtime: Device and cadence; decides no result.
        trust_code: Import, call and start what a YAML file names (SECURITY.md). A Suite object
            and a ``module:function`` are the caller's own code and need no permission.

    Raises:
        InputError: Anything wrong with the suite or the folder, or a file that names code without
            permission; nothing is written then.
    """
    from thaw.experiment.execute import execute
    from thaw.plain import from_plain, to_plain
    from thaw.suites import load_suite_to_execute

    if isinstance(suite, Suite):
        suite = from_plain(to_plain(suite), Suite, suite.name)  # validate what code has built
    else:
        suite = load_suite_to_execute(
            suite, overrides, trust_code=trust_code, how="pass trust_code=True"
        )
    return execute(suite, out, num_workers=num_workers, runtime=runtime or Runtime())
