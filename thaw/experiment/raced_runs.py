"""Which runs the races of a suite ask for. It is derived from the finished runs alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.reporting import report_spec
from thaw.experiment.suite_folder import SuiteFolder

if TYPE_CHECKING:
    from thaw.report.racing import Race


class RacedRuns:
    """The races of a suite, one for each transfer, and the runs that they have asked for so far.

    All live conditions of a transfer get the next block of seeds together, so that they can be
    compared seed by seed. A pretraining is asked for with the first run that starts from it.

    Args:
        planned: All runs for which the races may ask.
        folder: The suite's folder.
        done: Keys of the runs that are done.
    """

    def __init__(self, planned: Plan, folder: SuiteFolder, done: Iterable[str]) -> None:
        self.folder = folder
        self.spec = report_spec(planned.suite)
        self.runs = {run.key: run for run in planned.runs}
        self.by_identity = {_identity(run): run for run in planned.runs}
        self.rows: dict[str, dict[str, Any]] = {}
        for key in done:
            self._read(self.runs[key])
        self.races = self._replayed()

    def note(self, run: PlannedRun) -> Iterator[str]:
        """Note that a run is done.

        Yields:
            A line for each look that could be made.
        """
        from thaw.report.race_words import race_text

        self._read(run)
        before, self.races = self.races, self._replayed()
        for earlier, race in zip(before, self.races, strict=True):
            if (race.num_looks, race.ended) != (earlier.num_looks, earlier.ended):
                yield f"{race.source} -> {race.target}: {race_text(race)}"

    def asked(self) -> list[PlannedRun]:
        """Return the runs that any race has asked for, done or not, in the order of the plan."""
        keys = {key for race in self.races for key in self._keys(race)}
        return [run for key, run in self.runs.items() if key in keys]

    def stopped(self, failed: Iterable[str]) -> Iterator[str]:
        """Say which races cannot go on, because a run of theirs failed or has no score."""
        failed = set(failed)
        for race in self.races:
            reasons = [f"{key} failed" for key in self._keys(race) if key in failed]
            reasons += [f"{key} is done and has no score" for key in self._without_score(race)]
            if not race.ended and reasons:
                yield (
                    f"the race {race.source} -> {race.target} stopped without a verdict, because "
                    f"{reasons[0]}"
                )

    def _without_score(self, race: Race) -> list[str]:
        """Return the runs that the next look waits for in vain: they are done, without a score."""
        missing = [(name, seed) for name, seeds in race.missing.items() for seed in seeds]
        keys = [self._run(race, condition, seed).key for condition, seed in missing]
        return [key for key in keys if key in self.rows]

    def _sentence(self, race: Race) -> str:
        from thaw.report.race_words import race_text

        text = race_text(race)
        if without := self._without_score(race):
            text += f" It cannot be made: {without[0]} is done and has no score."
        return text

    def describe(self) -> list[dict[str, Any]]:
        """Return what ``thaw status`` shows of each race."""
        return [
            {
                "source": race.source,
                "target": race.target,
                "looks": race.num_looks,
                "of_looks": len(race.plan.looks),
                "num_seeds": race.num_seeds,
                "ended": race.ended or None,
                "live": race.live,
                "dropped": [
                    {"condition": d.condition, "by": d.leader, "num_seeds": d.num_seeds}
                    for d in race.drops
                ],
                "is_valid": race.is_valid,
                "sentence": self._sentence(race),
            }
            for race in self.races
        ]

    def _keys(self, race: Race) -> Iterator[str]:
        for condition, seeds in race.asked.items():
            for seed in seeds:
                run = self._run(race, condition, seed)
                if run.source_key is not None:
                    yield run.source_key
                yield run.key
                on_source = self.by_identity.get(("", race.source, "random", seed))
                if condition == "random" and on_source is not None:
                    yield on_source.key

    def _run(self, race: Race, condition: str, seed: int) -> PlannedRun:
        own = self.by_identity.get((race.source, race.target, condition, seed))
        return own or self.by_identity["", race.target, condition, seed]

    def _read(self, run: PlannedRun) -> None:
        result = self.folder.run_folder(run).result()
        source, target, condition, seed = _identity(run)
        self.rows[run.key] = {
            "source": source,
            "target": target,
            "condition": condition,
            "seed": seed,
            "mean_return": result.get("mean_return"),
            "sem": result.get("sem"),
        }

    def _replayed(self) -> list[Race]:
        import pandas as pd

        from thaw.report.racing import races
        from thaw.report.runs import RunTable

        columns = ["source", "target", "condition", "seed", "mean_return", "sem"]
        scores = pd.DataFrame(list(self.rows.values()), columns=columns)
        return races(RunTable(scores, self.spec))


def _identity(run: PlannedRun) -> tuple[str, str, str, int]:
    spec = run.spec
    return str(spec.source or ""), str(spec.flavor), spec.condition, spec.seed
