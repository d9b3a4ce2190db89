"""The files of a suite's folder. Its run folders hold the results; tables are derived from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from thaw.config.agent import complete_agent
from thaw.config.errors import InputError, printable
from thaw.config.strict import from_plain, to_plain, to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import Plan, PlannedRun, plan
from thaw.experiment.running import where_it_runs
from thaw.experiment.suites import read_suite_file
from thaw.files.atomic import StoreMismatch, check_not_foreign, check_out, write_atomic
from thaw.files.ownership import owner_of
from thaw.files.run_folder import RunFolder

Status = Literal["done", "failed", "running", "stopped", "waiting", "damaged"]
"""running: a process somewhere works on it. stopped: one has, and none does now."""


MAY_GROW = {
    "name", "transfers", "conditions", "update_rules", "seeds", "racing", "source_hashes",
    "source_steps", "report",
}  # fmt: skip
"""Of a suite: what another may say in the same folder. No run that exists depends on it."""


class _Look(NamedTuple):
    """How a run stands."""

    folder: RunFolder
    status: Status
    result: dict[str, Any]
    """Empty if it is not done."""
    damage: str | None = None


class SuiteFolder:
    """``DIR`` of ``thaw run SUITE --out DIR``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.suite_yaml = self.path / "suite.yaml"
        self.report = self.path / "report"

    @property
    def is_published(self) -> bool:
        """Whether it holds the tables of finished runs, but no run (``thaw publish``)."""
        return (self.path / "runs.jsonl.gz").is_file() and not (self.path / "runs").exists()

    def check(self, planned: Plan) -> None:
        """Check that the folder is new, or that its files belong to this plan's suite.

        More seeds, conditions or transfers of the same suite are allowed: finished runs stay
        valid, because the hash of its content names each run.

        Damaged runs are not looked at: they must not keep the others from being done.

        Raises:
            InputError: It holds something else.
        """
        check_out(self.path)
        check_not_foreign(self.path, "suite.yaml")
        for run in planned.runs:
            folder = self.run_folder(run)
            if not (folder.path / "run.json").exists() or self.damage(run) is not None:
                continue
            if folder.content_hash() != run.spec.content_hash:
                there, here = to_plain(folder.spec()), to_plain(run.spec)
                raise StoreMismatch(
                    f"{self.path} holds runs of another configuration (in {run.key} differ "
                    f"{', '.join(differences(there, here))}); choose another --out, or "
                    "repeat the settings of its suite.yaml"
                )
        self._check_settings(planned.suite)

    def _check_settings(self, suite: Suite) -> None:
        """Check that the runs which are there belong to a suite of the same settings.

        None of them may be in this plan, as with other seeds. A report of this suite would then
        leave them out without a word.

        Raises:
            InputError: The settings differ.
        """
        if next(self.path.glob("runs/**/run.json"), None) is None:
            return
        try:
            earlier = self.suite()
        except InputError:  # a damaged suite.yaml is written again
            return
        there, here = (
            {name: value for name, value in to_plain(of).items() if name not in MAY_GROW}
            for of in (earlier, suite)
        )
        if found := differences(there, here):
            raise StoreMismatch(
                f"{self.path} holds runs of another configuration (its suite.yaml, '{earlier.name}'"
                f", differs in {', '.join(found)}); choose another --out, or repeat its settings"
            )

    def check_race(self, suite: Suite) -> None:
        """Check that the plan of a race stood before its first run, and is still the same.

        Raises:
            InputError: It did not, or another plan is asked for.
        """
        results = self.path.glob("runs/**/result.json")
        if not self.suite_yaml.is_file() or all(
            path.parent.parent.name == "pretrain" for path in results
        ):
            return
        try:
            earlier = self.suite().racing
        except InputError:  # a damaged suite.yaml is written again
            return
        now = suite.racing
        if now == earlier:
            return
        if earlier is None:
            raise InputError(
                f"{self.path} has runs that were planned without a race, and the plan of a race "
                "must stand before the first run; choose another --out, or leave out the race"
            )
        by_hand = msgspec.structs.replace(earlier, by_hand=True)
        if now == by_hand:
            return
        looks = f"looks at {', '.join(map(str, earlier.looks))} seeds"
        again = f"`thaw run {self.suite_yaml} --out {self.path}`"
        if earlier.by_hand:
            raise InputError(f"seeds were added to the race in {self.path} by hand: use {again}")
        raise InputError(
            f"{self.path} holds a race ({looks}) whose plan stood before its first run; {again} "
            "continues it. To add seeds by hand, which ends the race, add "
            "--set racing.by_hand=true --seeds N"
        )

    def begin(self, suite: Suite) -> None:
        """Write suite.yaml; call :meth:`check` first.

        Raises:
            WriteFailed: The file cannot be written.
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
        # Not load_suite: this file has all values, and no preset may complete those of an
        # earlier thaw.
        path = str(self.suite_yaml)
        plain = read_suite_file(path)
        plain["agent"] = complete_agent(plain.get("agent"))
        return from_plain(plain, Suite, path)

    def plan(self) -> Plan:
        """Return the runs of the folder's suite.

        Raises:
            InputError: suite.yaml is missing or broken.
        """
        return plan(self.suite())

    def run_folder(self, run: PlannedRun | str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / "runs" / (run if isinstance(run, str) else run.key))

    def source_of(self, run: PlannedRun) -> Path | None:
        """Return the folder that holds the policy from which a run starts; None without one."""
        if run.checkpoint is not None:
            return Path(run.checkpoint)
        if run.source_key is None:
            return None
        pretraining, step = self.run_folder(run.source_key), run.spec.source_step
        return pretraining.path if step is None else pretraining.milestones.path / str(step)

    def status(self, run: PlannedRun) -> Status:
        """Return how a run stands, as far as its own folder tells."""
        return self._look(run).status

    def damage(self, run: PlannedRun) -> str | None:
        """Name the file that makes a run unusable and what helps; None if there is none.

        A checkpoint is not looked at: a run that goes on does so itself.
        """
        return self._look(run).damage

    def _look(self, run: PlannedRun) -> _Look:
        """Read each file that says how a run stands, once."""
        folder = self.run_folder(run)
        result: dict[str, Any] = {}
        try:
            is_done = folder.is_done
            if is_done or (folder.path / "run.json").exists():
                folder.spec()
            if is_done:
                result = folder.result()
        except InputError as error:
            return _Look(folder, "damaged", {}, " ".join(str(error).split()))
        if is_done:
            return _Look(folder, "done", result)
        if folder.error_log.exists():
            return _Look(folder, "failed", {})
        if not folder.path.exists():
            return _Look(folder, "waiting", {})
        return _Look(folder, "stopped" if owner_of(folder.path) is None else "running", {})

    def describe(self, run: PlannedRun) -> dict[str, Any]:
        """Return what ``thaw status`` shows of a run."""
        look = self._look(run)
        steps = look.result.get("steps", 0)
        if look.status not in ("done", "waiting"):
            steps = look.folder.saved_steps()
        row = {
            "key": run.key,
            "status": look.status,
            "steps": steps,
            "total_steps": run.spec.steps,
            "mean_return": look.result.get("mean_return"),
            "error": self.error(run) if look.status in ("failed", "damaged") else None,
        }
        return row | (where_it_runs(look.folder, run) if look.status == "running" else {})

    def error(self, run: PlannedRun) -> str:
        """Return the message of a failed or damaged run."""
        if (damage := self.damage(run)) is not None:
            return damage
        text = self.run_folder(run).error_log.read_text(encoding="utf-8", errors="replace")
        return _message(text)


def _message(traceback: str) -> str:
    """Return the text after the last frame of a traceback, in one line."""
    lines = traceback.split("\n")
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return printable(" ".join(" ".join(lines[frames[-1] + 1 if frames else 0 :]).split()))


def differences(there: object, here: object, path: str = "") -> list[str]:
    """Return the dotted paths at which two nested dicts differ."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return [path] if there != here else []
    keys = dict.fromkeys([*here, *there])
    return [
        found
        for key in keys
        for found in differences(there.get(key), here.get(key), f"{path}.{key}".lstrip("."))
    ]
