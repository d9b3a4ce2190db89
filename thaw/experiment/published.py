"""Publishes a suite's results: all that its report needs, small enough for a repository.

A published folder has no policies and no logs. ``thaw report`` rebuilds the report from it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

from thaw.config.errors import InputError
from thaw.experiment.results import CURVES_FILE, RUNS_FILE, SOURCE_STEPS_FILE, derive_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import check_out, read_json, write_files
from thaw.files.attempts import read_attempts, summarized


class Published(NamedTuple):
    """What was published."""

    num_runs: int
    num_missing: int
    """Planned runs that are not finished."""
    num_bytes: int


def publish_suite(folder: str | Path, out: str | Path) -> Published:
    """Write what a suite's report is made from: its plan, scores, curves, and the runs' records.

    Args:
        folder: The suite's folder; it is only read.
        out: Created if needed; gets suite.yaml, scores.csv, curves.csv.gz and runs.jsonl.gz, which
            has run.json, result.json and machine.json of each finished run in one line, and how
            each of its attempts started and ended; source_steps.csv where there is one; and the
            pictures of the flavors.

    Raises:
        InputError: ``folder`` is no suite's folder, has no finished run, or has a damaged one.
        WriteFailed: Disk full and the like.
    """
    suite_folder, target = SuiteFolder(folder), Path(out)
    planned = suite_folder.plan()
    check_out(target)
    results = derive_results(suite_folder, planned)
    if results.left_out:
        raise InputError(f"{results.left_out[0]}; publish what is whole")
    done = [run for run in planned.runs if suite_folder.run_folder(run).is_done]
    if not done or suite_folder.is_published:
        why = "is published already" if suite_folder.is_published else "has no finished run"
        raise InputError(f"'{folder}' {why}; give the --out of `thaw run SUITE --out DIR`")
    lines = []
    for run in done:
        path = suite_folder.run_folder(run).path
        records = {name: read_json(path / f"{name}.json") for name in ("run", "result", "machine")}
        ended = (path / "result.json").stat().st_mtime
        line = {"key": run.key, "ended": round(ended), **records}
        if attempts := read_attempts(path):
            line["attempts"] = summarized(attempts)
        lines.append(json.dumps(line, ensure_ascii=False).encode())
    files = {
        "suite.yaml": suite_folder.suite_yaml.read_bytes(),
        "scores.csv": results.scores.to_csv(index=False).encode(),
        CURVES_FILE: gzip.compress(
            results.curves.to_csv(index=False, float_format="%.6g").encode(), mtime=0
        ),
        RUNS_FILE: gzip.compress(b"\n".join(lines) + b"\n", mtime=0),
    }
    if results.source_steps is not None:
        files[SOURCE_STEPS_FILE] = results.source_steps.to_csv(index=False).encode()
    target.mkdir(parents=True, exist_ok=True)
    write_files(target, files)
    if pictures := {p.name: p.read_bytes() for p in (suite_folder.path / "pictures").glob("*.png")}:
        (target / "pictures").mkdir(exist_ok=True)
        write_files(target / "pictures", pictures)
    size = sum(map(len, files.values()))
    return Published(len(done), len(planned.runs) - len(done), size)
