"""Generated wrong input: one line, nothing executed, nothing outside, bounded time and memory."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import listing
from fault_sizes import SEED, is_sample, together, tries
from fault_tally import Tally
from hostile import (
    DESCRIPTION_FIELDS,
    PROOF,
    SUITE,
    Wrong,
    json_texts,
    raw_yaml,
    suites,
    wrong_fields,
)
from hostile_commands import CURVES, SCORES, command_lines, csv_files
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from thaw_server import Answer, ThawServer

from thaw.config.agent import AgentConfig
from thaw.files.checkpoint import save_checkpoint
from thaw.files.run_folder import RunFolder
from thaw.policy import Policy

pytestmark = [pytest.mark.faults("inputs"), pytest.mark.timeout(3600), *together("limited")]

SECONDS = 20
"""That one answer may take on a machine with nothing else to do."""

MOST_MIB = 1024
"""That one answer may take."""

HARMLESS_PROGRAMS = ("uname", "lscpu", "fc-list")
"""What libraries ask about the machine."""

Attempt = Callable[[Path, Any], list[str]]


def try_all(inputs: st.SearchStrategy[Any], place: Path, tally: Tally, attempt: Attempt) -> None:
    """Give generated inputs to an attempt, each in a new folder; fail if one has complaints."""
    broken: list[str] = []
    number = 0

    def each(content: Any) -> None:
        nonlocal number
        number += 1
        folder = place / str(number)
        folder.mkdir()
        (folder / "proof.py").write_text(PROOF)
        (folder / "boom.py").write_text('raise RuntimeError("my import is broken")\n')
        (folder / "tiny.yaml").write_text(SUITE)
        complaints = attempt(folder, content)
        if (folder / "PROOF").exists():
            complaints.append("code was executed")
        tally.tried()
        tally.failed(bool(complaints))
        broken.extend(f"{shown(content)}: {what}" for what in complaints)
        shutil.rmtree(folder)

    limits = settings(
        max_examples=tries(4, 6),
        derandomize=is_sample(),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    function = given(inputs)(each)
    limits(function if is_sample() else seed(SEED)(function))()
    print("\n".join(broken))
    assert not broken, f"{len(broken)} complaints\n" + "\n".join(broken)


def shown(content: Any) -> str:
    text = repr(content)
    return text if len(text) < 400 else f"{text[:200]} ... {text[-200:]}"


def complaints_about(answer: Answer) -> list[str]:
    """Name what no input may lead to."""
    if answer.status is None:
        return [f"it does not end, or dies: {answer.err.strip()[-300:]}"]
    if "Traceback" in answer.err:
        return [f"a traceback: {answer.err.strip().splitlines()[-1][:300]}"]
    found = [] if answer.status in (0, 1, 2) else [f"exit status {answer.status}"]
    if len(answer.lines) > 1:
        found.append(f"{len(answer.lines)} lines: {answer.lines[:3]}")
    if answer.wrote:
        found.append(f"it wrote {answer.wrote[:3]}")
    programs = [e for e in answer.executed if not any(p in e for p in HARMLESS_PROGRAMS)]
    if programs:
        found.append(f"it executed {programs[:3]}")
    if answer.grown_mib > MOST_MIB:
        found.append(f"it took {answer.grown_mib:.0f} MiB")
    return found


def not_refused(answer: Answer) -> list[str]:
    """Name what is missing where an input must be refused."""
    if answer.status in (2, None) or "Traceback" in answer.err:
        return []
    return [f"exit status {answer.status}, not 2: {' '.join(answer.err.split())[:200]}"]


def test_suites(limited_server: ThawServer, place: Path, tally: Tally) -> None:
    def attempt(folder: Path, suite: Wrong) -> list[str]:
        file = folder / "suite.yaml"
        file.write_text(yaml.safe_dump(suite.content))
        answer = limited_server("plan", file, "--json", cwd=folder, seconds=SECONDS)
        found = complaints_about(answer)
        if suite.surely:
            found += not_refused(answer)
        return found + (wrong_plan(answer.out) if answer.status == 0 else [])

    try_all(suites, place, tally, attempt)


def wrong_plan(text: str) -> list[str]:
    """Name what no accepted suite may have."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        document = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        return [f"the plan is no JSON: {error}"]
    keys = [run["key"] for run in document["runs"]]
    found = [f"the key {key!r} leaves its folder" for key in keys if leaves_its_folder(key)]
    if len({key.casefold() for key in keys}) < len(keys):
        found.append(f"two runs share a folder: {keys}")
    return found


def leaves_its_folder(key: str) -> bool:
    return ".." in key.split("/") or key.startswith("/") or os.path.normpath(key) != key


def test_raw_yaml(limited_server: ThawServer, place: Path, tally: Tally) -> None:
    def attempt(folder: Path, data: bytes) -> list[str]:
        file = folder / "suite.yaml"
        file.write_bytes(data)
        answer = limited_server("plan", file, "--json", cwd=folder, seconds=SECONDS)
        return complaints_about(answer) + (wrong_plan(answer.out) if answer.status == 0 else [])

    try_all(raw_yaml, place, tally, attempt)


def test_command_lines(limited_server: ThawServer, place: Path, tally: Tally) -> None:
    def attempt(folder: Path, words: list[str]) -> list[str]:
        (folder / "out").mkdir()
        (folder / "out/suite.yaml").write_text(SUITE)
        before = listing(folder)
        answer = limited_server(*words, cwd=folder, seconds=SECONDS)
        found = complaints_about(answer) + not_refused(answer)
        if len(answer.err.splitlines()) > 1 and not found:
            found.append("more than one line")
        if (written := sorted(listing(folder).keys() - before.keys())) or listing(folder) != before:
            found.append(f"it wrote {written or 'over a file'}")
        return found

    try_all(command_lines(), place, tally, attempt)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a policy that plays Catch."""
    folder = tmp_path_factory.mktemp("policy")
    agent = AgentConfig(embedding="impala_shallow", lstm_size=8, fc_size=8, precision="float32")
    save_checkpoint(RunFolder(folder), Policy((30, 20, 3), 54, agent))
    return folder / "checkpoint"


def test_descriptions_of_checkpoints(
    checkpoint: Path, limited_server: ThawServer, place: Path, tally: Tally
) -> None:
    source = checkpoint / "policy.safetensors"
    with safe_open(source, framework="pt") as opened:
        description = json.loads(opened.metadata()["thaw"])
    tensors = load_file(source)

    def evaluate(folder: Path, text: str) -> Answer:
        (folder / "policy").mkdir()
        save_file(tensors, folder / "policy/policy.safetensors", {"thaw": text})
        words = ("evaluate", "policy", "catch", "--episodes", "1", "--set", "downsample=16")
        return limited_server(*words, cwd=folder, seconds=SECONDS)

    def attempt(folder: Path, text: str) -> list[str]:
        answer = evaluate(folder, text)
        return complaints_about(answer) + not_refused(answer)

    (place / "whole").mkdir()
    whole = evaluate(place / "whole", json.dumps(description))
    assert whole.status == 0, whole.err
    wrong = wrong_fields(description, DESCRIPTION_FIELDS).map(json.dumps)
    try_all(wrong | json_texts, place, tally, attempt)


def test_descriptions_of_runs(
    checkpoint: Path, limited_server: ThawServer, place: Path, tally: Tally
) -> None:
    def attempt(folder: Path, text: str) -> list[str]:
        shutil.copytree(checkpoint, folder / "run/checkpoint")
        (folder / "run/run.json").write_text(text, encoding="utf-8", errors="surrogatepass")
        words = ("evaluate", "run", "catch", "--episodes", "1", "--set", "downsample=16")
        answer = limited_server(*words, cwd=folder, seconds=SECONDS)
        return complaints_about(answer) + not_refused(answer)

    try_all(json_texts, place, tally, attempt)


def test_scores_from_elsewhere(limited_server: ThawServer, place: Path, tally: Tally) -> None:
    def attempt(folder: Path, file: Wrong) -> list[str]:
        (folder / "scores.csv").write_bytes(file.content)
        words = ("report", "--scores", "scores.csv", "--out", "new")
        answer = limited_server(*words, cwd=folder, seconds=SECONDS)
        found = complaints_about(answer)
        if file.surely:
            found += not_refused(answer)
        if answer.status == 0:
            found += wrong_report(folder / "new")
        elif (folder / "new").exists():
            found.append("it wrote although it refused")
        return found

    try_all(csv_files(SCORES), place, tally, attempt)


def wrong_report(folder: Path) -> list[str]:
    """Name what no report may hold: numbers that are none, live HTML, formulas."""
    found = []
    metrics = (folder / "metrics.json").read_text(encoding="utf-8")
    if "NaN" in metrics or "Infinity" in metrics:
        found.append("NaN or Infinity in metrics.json")
    for page in ("index.html", "table.md"):
        text = (folder / page).read_text(encoding="utf-8")
        if "<script>alert" in text or "<img src=x" in text:
            found.append(f"live HTML in {page}")
    for table in folder.glob("*.csv"):
        with table.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        if any(cell.startswith(("=", "@")) for cell in cells):
            found.append(f"a formula in {table.name}")
    return found


def test_curves_from_elsewhere(limited_server: ThawServer, place: Path, tally: Tally) -> None:
    def attempt(folder: Path, file: Wrong) -> list[str]:
        path = folder / "curves.csv"
        path.write_bytes(file.content)
        answer = limited_server.read_scores(path, "read_curves", seconds=SECONDS)
        return complaints_about(answer) + (not_refused(answer) if file.surely else [])

    try_all(csv_files(CURVES), place, tally, attempt)
