"""The files of a suite's folder. Run folders are the truth; the tables are derived from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from thaw.config import Suite
from thaw.experiment.plan import Plan, PlannedRun, plan
from thaw.plain import InputError, to_plain, to_yaml
from thaw.run_folder import (
    RunFolder,
    StoreMismatch,
    check_not_foreign,
    check_out,
    write_atomic,
)
from thaw.suites import load_suite

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["done", "failed", "started", "waiting"]

RUN_COLUMNS = ("family", "name", "source", "target", "condition", "seed")
SCORE_COLUMNS = (
    "key", *RUN_COLUMNS, "mean_return", "sem", "num_episodes",
    "training_mean_return", "training_sem", "evaluation_mean_return", "evaluation_sem",
    "source_mean_return", "source_sem", "steps", "frames", "seconds", "clock", "mean_policy_lag",
)  # fmt: skip
CURVE_COLUMNS = (*RUN_COLUMNS, "steps", "frames", "mean_return", "num_episodes")


class Results(NamedTuple):
    """Everything a report is made of."""

    scores: pd.DataFrame
    """One row per finished run, SCORE_COLUMNS."""
    curves: pd.DataFrame
    """One row per finished run and bin of training steps, CURVE_COLUMNS."""


class SuiteFolder:
    """``DIR`` of ``thaw run SUITE --out DIR``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.suite_yaml = self.path / "suite.yaml"
        self.report = self.path / "report"

    def check(self, suite: Suite) -> None:
        """Check that the folder is new, or that what it holds belongs to this suite.

        More seeds, conditions or transfers of the same suite are welcome: runs that are there
        stay valid, because each is named by its own content.

        Raises:
            InputError: It holds something else, or something broken.
        """
        check_out(self.path)
        check_not_foreign(self.path, "suite.yaml")
        for run in plan(suite).runs:
            folder = self.run_folder(run)
            if (folder.path / "run.json").exists():
                if folder.content_hash() != run.spec.content_hash:
                    there, here = to_plain(folder.spec()), to_plain(run.spec)
                    raise StoreMismatch(
                        f"{self.path} holds runs of another configuration (in {run.key} differ "
                        f"{', '.join(_differences(there, here))}); choose another --out, or "
                        "repeat the settings of its suite.yaml"
                    )
                if folder.is_done:
                    folder.result()

    def begin(self, suite: Suite) -> None:
        """Write down what the folder is for; call :meth:`check` first.

        Raises:
            WriteFailed: It cannot be written.
        """
        write_atomic(self.suite_yaml, to_yaml(suite).encode())

    def suite(self) -> Suite:
        """Read suite.yaml.

        Raises:
            InputError: Missing or broken.
        """
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "does not exist"
            raise InputError(f"'{self.path}' {what}; give the --out of `thaw run SUITE --out DIR`")
        if not self.suite_yaml.is_file():
            raise InputError(
                f"'{self.path}' is not a suite's folder: it has no suite.yaml; `thaw run SUITE "
                "--out DIR` makes one"
            )
        return load_suite(self.suite_yaml)

    def plan(self) -> Plan:
        """Spell the folder's suite out."""
        return plan(self.suite())

    def run_folder(self, run: PlannedRun | str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / "runs" / (run if isinstance(run, str) else run.key))

    def status(self, run: PlannedRun) -> Status:
        """Say how far a run is."""
        folder = self.run_folder(run)
        if folder.is_done:
            return "done"
        if folder.error_log.exists():
            return "failed"
        return "started" if folder.path.exists() else "waiting"

    def describe(self, run: PlannedRun) -> dict[str, Any]:
        """Say how far a run is, for people and for JSON."""
        folder, status = self.run_folder(run), self.status(run)
        result = folder.result() if status == "done" else {}
        return {
            "key": run.key,
            "status": status,
            "steps": result.get("steps", folder.saved_steps()),
            "total_steps": run.spec.steps,
            "mean_return": result.get("mean_return"),
            "error": self.error(run) if status == "failed" else None,
        }

    def error(self, run: PlannedRun) -> str:
        """Return the message of a failed run."""
        return _message(self.run_folder(run).error_log.read_text(encoding="utf-8"))

    def results(self) -> Results:
        """Derive scores and curves from the run folders and write them as CSV.

        Raises:
            InputError: A file of a run is broken.
            WriteFailed: Disk full and the like.
        """
        import pandas as pd

        suite = self.suite()
        done = [run for run in plan(suite).runs if self.run_folder(run).is_done]
        scores = pd.DataFrame([self._score(run) for run in done], columns=list(SCORE_COLUMNS))
        curves = pd.DataFrame(
            [row for run in done for row in self._curve(run, suite.report.num_bins)],
            columns=list(CURVE_COLUMNS),
        )
        write_atomic(self.path / "scores.csv", scores.to_csv(index=False).encode())
        write_atomic(self.path / "curves.csv", curves.to_csv(index=False).encode())
        return Results(scores, curves)

    def _score(self, run: PlannedRun) -> dict[str, Any]:
        result = self.run_folder(run).result()
        row = _run_columns(run) | {"key": run.key}
        for name in ("mean_return", "sem", "num_episodes", "steps", "frames", "seconds"):
            row[name] = result.get(name)
        if run.spec.steps:
            row["clock"] = run.spec.agent.clock
            row["mean_policy_lag"] = self._mean_policy_lag(run)
        for column, part in (
            ("training", "training"),
            ("evaluation", "evaluation"),
            ("source", "source_evaluation"),
        ):
            summary = result.get(part) or {}
            row[f"{column}_mean_return"] = summary.get("mean_return")
            row[f"{column}_sem"] = summary.get("sem")
        return row

    def _mean_policy_lag(self, run: PlannedRun) -> float | None:
        """Average the policy lag, in updates, over the rows of progress.csv."""
        import pandas as pd

        path = self.run_folder(run).progress.path
        if not path.is_file():  # a run of fewer steps than an unroll
            return None
        mean = pd.read_csv(path, usecols=["mean_policy_lag"])["mean_policy_lag"].mean()
        return None if pd.isna(mean) else round(float(mean), 4)

    def _curve(self, run: PlannedRun, num_bins: int) -> Iterator[dict[str, Any]]:
        """Average the training episodes within each of ``num_bins`` equal ranges of steps."""
        import numpy as np
        import pandas as pd

        if run.spec.steps == 0:
            return
        episodes = pd.read_csv(self.run_folder(run).episodes.path)
        episodes = episodes[episodes["phase"] == "training"]
        frames_per_step = self.run_folder(run).result()["frames"] / max(
            1, self.run_folder(run).result()["steps"]
        )
        width = run.spec.steps / num_bins
        # The last batch may reach past the budget; its episodes belong to the last bin.
        bins = np.clip(np.ceil(episodes["step"] / width).astype(int), 1, num_bins)
        for right_edge, returns in episodes["return"].groupby(bins):
            steps = round(int(str(right_edge)) * width)
            yield _run_columns(run) | {
                "steps": steps,
                "frames": round(steps * frames_per_step),
                "mean_return": returns.mean(),
                "num_episodes": len(returns),
            }


def load_results(path: str | Path) -> Results:
    """Return the scores and curves of a suite's folder, derived afresh from its runs.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
    """
    return SuiteFolder(path).results()


def _message(traceback: str) -> str:
    """Return what stands behind the last frame of a traceback, in one line."""
    lines = traceback.split("\n")
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return " ".join(" ".join(lines[frames[-1] + 1 if frames else 0 :]).split())


def _differences(there: object, here: object, path: str = "") -> list[str]:
    """Return the dotted paths at which two nested dicts differ."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return [path] if there != here else []
    keys = dict.fromkeys([*here, *there])
    return [
        found
        for key in keys
        for found in _differences(there.get(key), here.get(key), f"{path}.{key}".lstrip("."))
    ]


def _run_columns(run: PlannedRun) -> dict[str, Any]:
    flavor = run.spec.flavor
    values: Iterable[object] = (
        flavor.family, flavor.name, str(run.spec.source or ""), str(flavor), run.spec.condition,
        run.spec.seed,
    )  # fmt: skip
    return dict(zip(RUN_COLUMNS, values, strict=True))
