"""What a suite's folder tells its report beyond the scores: provenance, pictures, health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thaw.config.errors import InputError
from thaw.config.suite import Suite
from thaw.experiment.pictures import read_pictures
from thaw.experiment.plan import Plan
from thaw.experiment.results import published_records
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import read_json
from thaw.files.attempts import read_attempts, summarized
from thaw.files.run_folder import RunFolder
from thaw.report.background import Background, Provenance
from thaw.report.words import count, duration, listed

if TYPE_CHECKING:
    import pandas as pd

FILMS = (".mp4", ".webm", ".gif")


def background_of(
    folder: SuiteFolder, planned: Plan, scores: pd.DataFrame, out: Path
) -> Background:
    """Return what a suite's folder tells; what cannot be read is left out.

    Args:
        folder: The suite's folder.
        planned: Its runs.
        scores: One row per finished run.
        out: The report's folder. Links are made only if it lies in the suite's folder.
    """
    runs = [folder.run_folder(run) for run in planned.runs]
    done = [run for run in runs if run.is_done]
    root = _path_between(out, folder.path)
    suite = planned.suite
    rules = {name: str(rule) for name in suite.conditions if (rule := suite.rule(name))}
    return Background(
        provenance=_provenance(folder, suite, done, scores, root),
        root=root,
        runs=f"{root}/runs" if root and done else "",
        pictures=read_pictures(folder.path, suite),
        films=_films(folder.path),
        update_rules=rules,
        health=_health(runs, done) | _tries(_endings(folder, planned)),
    )


def _path_between(page: Path, folder: Path) -> str:
    """Return the path from the page's folder up to the suite's; empty if it is not inside."""
    page, folder = page.resolve(), folder.resolve()
    if not page.is_relative_to(folder) or page == folder:
        return ""
    return "/".join([".."] * len(page.relative_to(folder).parts))


def _films(folder: Path) -> tuple[str, ...]:
    places = [*folder.glob("*"), *folder.glob("films/*")]
    films = [path for path in places if path.suffix in FILMS and path.is_file()]
    return tuple(sorted(path.relative_to(folder).as_posix() for path in films))


def _provenance(
    folder: SuiteFolder, suite: Suite, done: Sequence[RunFolder], scores: pd.DataFrame, root: str
) -> Provenance:
    machines = [machine for run in done if (machine := _machine(run))]
    agent = suite.agent
    newest = max(((run.path / "result.json").stat().st_mtime for run in done), default=None)
    command = f"thaw run {folder.suite_yaml} --out ELSEWHERE"
    if folder.is_published:  # its place is another one in every clone
        records = _published_records(folder)
        machines = [record["machine"] for record in records]
        newest = max((record["ended"] for record in records), default=None)
        command = f"thaw run {folder.suite_yaml.name} --out ELSEWHERE"
    ended = "" if newest is None else datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%d %H:%M")
    timed = scores["seconds"].dropna().astype(float)
    return Provenance(
        date=f"{ended} UTC" if ended else "",
        command=command,
        versions=_listed(_versions(machine) for machine in machines),
        commit=_listed(str(machine.get("git_commit") or "") for machine in machines),
        machine=_listed(_hardware(machine) for machine in machines),
        budgets=_budgets(suite),
        network=f"{agent.embedding} with {agent.embedding_size} features, "
        + (f"LSTM {agent.lstm_size}, " if agent.head == "lstm" else f"head {agent.head}, ")
        + agent.precision,
        clock=agent.clock,
        wall_time=f"{duration(timed.sum())} of {count(len(timed), 'run')} together"
        if len(timed)
        else "",
        suite_file=f"{root}/{folder.suite_yaml.name}" if root else "",
    )


def _budgets(suite: Suite) -> str:
    """Say how long each run was, and what came before the transfers."""
    before = "no pretraining, but policies from elsewhere"
    if suite.pretrain_steps is not None:
        before = f"{suite.pretrain_steps:,} steps of pretraining"
    return (
        f"{before}, {suite.transfer_steps:,} of each transfer and of scratch; "
        f"{count(suite.evaluation.episodes, 'episode')} in an evaluation"
    )


def _published_records(folder: SuiteFolder) -> list[dict[str, Any]]:
    """Return what each run of a published folder says about itself; nothing if it is damaged."""
    with suppress(InputError):
        return published_records(folder.path)
    return []


def _machine(run: RunFolder) -> dict[str, Any] | None:
    with suppress(InputError):
        found = read_json(run.path / "machine.json")
        return found if isinstance(found, dict) else None
    return None


def _versions(machine: dict[str, Any]) -> str:
    packages = machine.get("packages")
    named = packages.items() if isinstance(packages, dict) else ()
    texts = [f"{name} {version}" for name, version in named if version]
    return ", ".join([*texts, f"Python {machine.get('python', '')}"])


def _hardware(machine: dict[str, Any]) -> str:
    parts = [machine.get("processor"), machine.get("platform")]
    if machine.get("device") not in (None, "cpu"):
        parts.insert(0, machine["device"])
    return ", ".join(str(part) for part in parts if part)


def _listed(texts: Iterable[str]) -> str:
    """Join different texts in the order in which they first occur."""
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def _health(runs: Sequence[RunFolder], done: Sequence[RunFolder]) -> dict[str, str]:
    failed = [run for run in runs if run.error_log.exists()]
    names = [f"{run.path.parent.name}/{run.path.name}" for run in failed[:10]]
    more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
    found = {"Failed runs": f"{', '.join(names)}{more}." if failed else "None."}
    cut, episodes, restarts, dropped = 0, 0, 0, 0
    for run in done:
        with suppress(InputError):
            result = run.result()
            for part in ("evaluation", "source_evaluation"):
                summary = result.get(part) or {}
                cut += summary.get("num_truncated") or 0
                episodes += summary.get("num_episodes") or 0
        with suppress(ValueError, OSError):  # a damaged row; the report names the run elsewhere
            last = run.progress.last()
            restarts += int(float(last.get("actor_restarts") or 0))
            dropped += int(float(last.get("dropped_steps") or 0))
    if episodes:
        found["Cut episodes"] = (
            f"{cut:,} of {episodes:,} evaluation episodes were ended by a time limit."
            if cut
            else f"None of {episodes:,} evaluation episodes was ended by a time limit."
        )
    if restarts or dropped:
        found["Actors"] = f"{count(restarts, 'restart')}; {dropped:,} steps were dropped."
    return found


def _endings(folder: SuiteFolder, planned: Plan) -> dict[str, list[tuple[int, str]]]:
    """Return the start in steps and the cause of the end of each attempt, by its run's key."""
    if folder.is_published:
        return {
            record["key"]: [(step, cause) for step, cause in record["attempts"]]
            for record in _published_records(folder)
            if "attempts" in record
        }
    found = {}
    for run in planned.runs:
        with suppress(InputError):  # a damaged file
            if attempts := read_attempts(folder.run_folder(run).path):
                found[run.key] = summarized(attempts)
    return found


def _tries(endings: Mapping[str, Sequence[tuple[int, str]]]) -> dict[str, str]:
    """Say how many runs were resumed, and which were retried and why."""
    if not endings:  # of an earlier thaw
        return {}
    resumed = [key for key, tries in endings.items() if any(steps for steps, _ in tries)]
    retried = {
        key: ", ".join(dict.fromkeys(causes))
        for key, tries in endings.items()
        if (causes := [cause for _, cause in tries[:-1] if cause not in ("stopped", "done")])
    }
    words = [f"{key} ({causes})" for key, causes in list(retried.items())[:10]]
    more = [f"{len(retried) - 10} more"] if len(retried) > 10 else []
    were = "was" if len(resumed) == 1 else "were"
    text = f"{len(resumed)} of {count(len(endings), 'run')} {were} resumed from a checkpoint, "
    text += f"{len(retried)} {'was' if len(retried) == 1 else 'were'} retried"
    text += f": {listed([*words, *more])}." if retried else "."
    return {"Resumed and retried": text if resumed or retried else "No run."}
