"""Says while a suite executes that its pretraining has learned nothing.

Hours of transfers would follow. The report says it too, with the same words (thaw.report.gates).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from thaw.config.errors import InputError
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.reporting import report_spec
from thaw.experiment.results import score_row
from thaw.experiment.suite_folder import SuiteFolder


class PretrainingCheck:
    """Compares the pretrainings of each source with the random policy there, once all are done.

    Args:
        planned: The runs of the suite.
        folder: Its folder.
        done: Keys of the runs that are done already.
    """

    def __init__(self, planned: Plan, folder: SuiteFolder, done: Iterable[str]) -> None:
        self.folder, self.suite = folder, planned.suite
        done = set(done)
        self.runs: dict[str, list[PlannedRun]] = {}
        """By source: its pretrainings, and the random policy there."""
        self.missing: dict[str, set[str]] = {}
        """By source: the keys of those that are not done."""
        sources = {str(transfer.source) for transfer in planned.suite.transfers}
        for run in planned.at_least.runs:  # a race may never ask for the others
            place = str(run.spec.flavor)
            if run.spec.condition in ("pretrain", "random") and place in sources:
                self.runs.setdefault(place, []).append(run)
                if run.key not in done:
                    self.missing.setdefault(place, set()).add(run.key)

    def note(self, run: PlannedRun) -> Iterator[str]:
        """Note that a run is done.

        Yields:
            A warning, if the pretrainings of a source are now known not to have beaten random.
        """
        source = str(run.spec.flavor)
        missing = self.missing.get(source, set())
        if run.key not in missing:
            return
        missing.remove(run.key)
        if missing:
            return
        with suppress(InputError):  # a damaged run; the report names it
            if warning := self._warning(source):
                yield f"warning: {warning}"

    def _warning(self, source: str) -> str | None:
        import pandas as pd

        from thaw.report.gates import pretraining_failed
        from thaw.report.runs import RunTable

        rows = [score_row(run, self.folder.run_folder(run)) for run in self.runs[source]]
        table = RunTable(pd.DataFrame(rows), report_spec(self.suite))
        gate = pretraining_failed(table, source)
        return gate.sentence if gate is not None else None
