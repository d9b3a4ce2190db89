"""Publishes a suite's results: all that its report needs, small enough for a repository.

A published folder has no policies and no logs. ``thaw report`` rebuilds the report from it. Parts
of one suite, each with seeds of its own, can be published together.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from thaw.config.errors import InputError
from thaw.config.strict import to_plain, to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import PlannedRun
from thaw.experiment.raced_runs import RacedRuns
from thaw.experiment.results import (
    CURVES_FILE,
    RUNS_FILE,
    SOURCE_STEPS_FILE,
    derive_results,
    published_records,
)
from thaw.experiment.suite_folder import SuiteFolder, differences
from thaw.files.atomic import check_out, read_json, write_files
from thaw.files.attempts import read_attempts, summarized

if TYPE_CHECKING:
    import pandas as pd


WHOLE_NUMBERS = ("steps", "frames", "num_episodes", "source_step")
"""Columns of the tables that are written without a decimal point, and never rounded."""


class Published(NamedTuple):
    """What was published."""

    num_runs: int
    num_missing: int
    """Planned runs that are not finished; a race plans only what it has asked for."""
    num_bytes: int


class _Part(NamedTuple):
    """What one folder has of a suite."""

    folder: SuiteFolder
    suite: Suite
    tables: Mapping[str, pd.DataFrame]
    """By file name."""
    records: Sequence[Mapping[str, Any]]
    """One for each finished run."""
    num_missing: int


def publish_suite(folders: Sequence[str | Path], out: str | Path) -> Published:
    """Write what a suite's report is made from: its plan, scores, curves, and the runs' records.

    Args:
        folders: Suites' folders; they are only read. Several are parts of one suite that differ
            only in their seeds, such as those of machines without a common disk; published parts
            are welcome.
        out: Created if needed; gets suite.yaml, scores.csv, curves.csv.gz and runs.jsonl.gz, which
            has run.json, result.json and machine.json of each finished run in one line, and how
            each of its attempts started and ended; source_steps.csv where there is one; and the
            pictures of the flavors.

    Raises:
        InputError: A folder is no suite's folder, has no finished run, or has a damaged one; or
            the folders are not parts of one suite.
        WriteFailed: Disk full and the like.
    """
    if not folders:
        raise InputError("name the suite's folder, as in `thaw publish DIR --out results/study`")
    target = Path(out)
    check_out(target)
    parts = [_read_part(SuiteFolder(folder)) for folder in folders]
    if len(parts) == 1 and parts[0].folder.is_published:
        raise InputError(
            f"'{folders[0]}' is published already; give the --out of `thaw run SUITE --out DIR`, "
            "or several parts of one suite"
        )
    suite = _joined_suite(parts)
    records = [record for part in parts for record in part.records]
    files = {
        "suite.yaml": to_yaml(suite).encode(),
        RUNS_FILE: gzip.compress(
            b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records), mtime=0
        ),
    }
    for name in parts[0].tables:
        files[name] = _packed(name, [part.tables[name] for part in parts])
    target.mkdir(parents=True, exist_ok=True)
    write_files(target, files)
    pictures = {
        path.name: path.read_bytes()
        for part in parts
        for path in (part.folder.path / "pictures").glob("*.png")
    }
    if pictures:
        (target / "pictures").mkdir(exist_ok=True)
        write_files(target / "pictures", pictures)
    num_missing = sum(part.num_missing for part in parts)
    return Published(len(records), num_missing, sum(map(len, files.values())))


def _read_part(folder: SuiteFolder) -> _Part:
    """Read a suite's folder or a published one.

    Raises:
        InputError: It is neither, has no finished run, or has a damaged one.
    """
    planned = folder.plan()
    results = derive_results(folder, planned)
    if results.left_out:
        raise InputError(f"{results.left_out[0]}; publish what is whole")
    asked: Sequence[PlannedRun] = planned.runs
    if folder.is_published:
        records = published_records(folder.path)
    else:
        done = [run for run in planned.runs if folder.run_folder(run).is_done]
        records = [_record(folder, run) for run in done]
        if planned.suite.is_raced:
            asked = RacedRuns(planned, folder, [run.key for run in done]).asked()
    if not records:
        raise InputError(
            f"'{folder.path}' has no finished run; give the --out of `thaw run SUITE --out DIR`"
        )
    tables = {"scores.csv": results.scores, CURVES_FILE: results.curves}
    if results.source_steps is not None:
        tables[SOURCE_STEPS_FILE] = results.source_steps
    return _Part(folder, planned.suite, tables, records, len(asked) - len(records))


def _record(folder: SuiteFolder, run: PlannedRun) -> dict[str, Any]:
    """Return what a finished run says about itself."""
    path = folder.run_folder(run).path
    records = {name: read_json(path / f"{name}.json") for name in ("run", "result", "machine")}
    ended = (path / "result.json").stat().st_mtime
    record = {"key": run.key, "ended": round(ended), **records}
    if attempts := read_attempts(path):
        record["attempts"] = summarized(attempts)
    return record


def _joined_suite(parts: Sequence[_Part]) -> Suite:
    """Return the suite with the seeds of all parts.

    Raises:
        InputError: They differ in more than seeds, share one, or one is a race.
    """
    first = parts[0]
    if len(parts) == 1:
        return first.suite
    versions = {record["run"]["results_version"] for part in parts for record in part.records}
    if len(versions) > 1:
        raise InputError(
            "the parts were run by versions of thaw whose results differ (results_version "
            f"{', '.join(map(str, sorted(versions)))}); publish them as studies of their own"
        )
    seeds: dict[int, _Part] = {}
    for part in parts:
        if part.suite.racing is not None:
            raise InputError(
                f"'{part.folder.path}' is a race, which decides its seeds in one folder; publish "
                "it alone"
            )
        if found := differences(_without_seeds(first.suite), _without_seeds(part.suite)):
            raise InputError(
                f"'{first.folder.path}' and '{part.folder.path}' are not parts of one suite: they "
                f"differ in {', '.join(found)}; only seeds may differ"
            )
        for seed in part.suite.seed_list:
            if seed in seeds:
                raise InputError(
                    f"'{seeds[seed].folder.path}' and '{part.folder.path}' both have seed {seed}; "
                    "give each part seeds of its own, as in --set 'seeds=[5, 6]'"
                )
            seeds[seed] = part
    hashes = {place: h for part in parts for place, h in part.suite.source_hashes.items()}
    return msgspec.structs.replace(first.suite, seeds=tuple(seeds), source_hashes=hashes)


def _without_seeds(suite: Suite) -> object:
    return to_plain(msgspec.structs.replace(suite, seeds=1, source_hashes={}))


def _packed(name: str, tables: Sequence[pd.DataFrame]) -> bytes:
    """Return the rows of all tables as the content of a file."""
    import pandas as pd

    table = tables[0]
    if len(tables) > 1:  # what was read from a file has numbers of other types
        whole = {name: "Int64" for name in WHOLE_NUMBERS if name in table}
        table = pd.concat([table.astype(whole) for table in tables], ignore_index=True)
    if name != CURVES_FILE:
        return table.to_csv(index=False).encode()
    return gzip.compress(table.to_csv(index=False, float_format="%.6g").encode(), mtime=0)
