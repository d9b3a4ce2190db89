"""Counts tries and failures and prints them as a Markdown table: a promise for each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_promises import PROMISES
from fault_sizes import SEED, TRIES
from fault_tally import Tally
from thaw_server import ThawServer

_tries: Counter[str] = Counter()
_failures: Counter[str] = Counter()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Counts for the table; also print what reproduces the test."""
    marker = request.node.get_closest_marker("faults")
    assert marker is not None, "a test of a fault says which promise it tries"
    result = Tally(marker.args[0])
    request.node.user_properties.append(("faults", result.counts))
    print(f"FAULT_TRIES={TRIES} FAULT_SEED={SEED}")  # shown with a failure
    return result


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThawServer]:
    """thaw in one process that answers many commands."""
    server = ThawServer(tmp_path_factory.mktemp("server"))
    yield server
    server.end()


@pytest.fixture(scope="session")
def limited_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThawServer]:
    """The same with little memory, and its writes, imports and programs written down."""
    server = ThawServer(tmp_path_factory.mktemp("limited"), memory_mib=2048)
    yield server
    server.end()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up, in the process that starts the others."""
    if report.when != "call":
        return
    for name, counts in report.user_properties:
        if name == "faults" and isinstance(counts, dict):
            promise, failures = counts["promise"], counts["failures"]
            _tries[promise] += counts["tries"]
            _failures[promise] += max(failures, int(report.failed))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of docs/reliability.md."""
    if not _tries:
        return
    write = terminalreporter.write_line
    terminalreporter.section(f"FAULT_TRIES={TRIES} FAULT_SEED={SEED}")
    write("| promised | how tested | tries | failures |")
    write("| --- | --- | ---: | ---: |")
    for name, promise in PROMISES.items():
        tried = f"{_tries[name]:,} {promise.unit}"
        write(f"| {promise.promised} | {promise.how} | {tried} | {_failures[name]} |")
