"""Compare thaw with other programs on the same work, in turns.

python benchmarks/peers/compare.py [--rounds N] [--seconds S] [--only PEER] [--out FILE.md]

Run it with thaw's Python on Linux. Each other program has a virtual environment, which is made
from PyPI if it is missing. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
PEERS = ("sample-factory", "rllib")
LIMIT_SECONDS = 600.0
"""The most time for a program's start and warm-up, so that one that hangs is ended."""


class Program(NamedTuple):
    name: str
    peer: str
    """The name of the virtual environment; empty for thaw's."""
    command: tuple[str, ...]


PROGRAMS = (
    Program("thaw", "", ("run_thaw.py",)),
    *(
        Program(f"{title}, {how}", peer, (script, "--setting", setting, *flags))
        for peer, title, script in (
            ("sample-factory", "Sample Factory", "run_sample_factory.py"),
            ("rllib", "RLlib", "run_rllib.py"),
        )
        for how, setting, flags in (
            ("as shipped", "serial", ()),
            ("network patched", "serial", ("--patched",)),
        )
    ),
    # Which of the two settings is faster depends on the load of the machine.
    Program(
        "Sample Factory, network patched, asynchronous",
        "sample-factory",
        ("run_sample_factory.py", "--setting", "asynchronous", "--patched"),
    ),
)


class Reading(NamedTuple):
    steps_per_second: float
    peak_mib: float


def python_of(peer: str) -> Path:
    """Return a peer's Python; make its virtual environment if needed."""
    folder = HERE / f".venv-{peer}"
    python, done = folder / "bin" / "python", folder / "installed"
    requirements = HERE / f"requirements-{peer}.txt"
    if not done.exists() or done.read_text(encoding="utf-8") != requirements.read_text("utf-8"):
        say(f"installing {peer} into {folder.name}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
        done.write_text(requirements.read_text("utf-8"), encoding="utf-8")
    return python


def run(program: Program, python: Path, options: argparse.Namespace) -> Reading:
    """Run a program once, alone, and end all processes that it leaves running."""
    command = [str(python), str(HERE / program.command[0]), *program.command[1:]]
    command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    threads = {"OMP_NUM_THREADS": str(options.threads)}
    process = subprocess.Popen(
        command,
        env=os.environ | threads | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with peak_memory(process.pid) as peaks:
            output, errors = process.communicate(timeout=LIMIT_SECONDS + options.seconds)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{program.name}: no result in time; run it alone to see why") from None
    finally:
        end_session(process.pid)
    lines = [line for line in output.splitlines() if line.startswith('{"steps"')]
    if process.returncode or not lines:
        raise SystemExit(f"{program.name} failed:\n" + (output + errors)[-4000:])
    result = json.loads(lines[-1])
    return Reading(result["steps"] / result["seconds"], max(peaks))


@contextlib.contextmanager
def peak_memory(pid: int) -> Iterator[list[float]]:
    """Measure twice a second the MiB of a process and its descendants; shared pages count once."""
    readings = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            readings.append(sum(map(proportional_mib, tree(pid))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield readings
    finally:
        over.set()
        thread.join()


def tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent, _ in processes():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:  # the list grows during the loop
        found += children.get(pid, [])
    return found


def end_session(session: int) -> None:
    """End all processes of a session, also those whose parent has ended."""
    for pid, _, its_session in processes():
        if its_session == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes() -> Iterator[tuple[int, int, int]]:
    """Yield the process, parent and session of all running processes."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # After the name, which may contain spaces: state, parent, group, session.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                yield int(folder.name), int(fields[1]), int(fields[3])


def proportional_mib(pid: int) -> float:
    """Return a process's memory with its part of shared pages in MiB; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def table(rounds: list[dict[str, Reading]]) -> str:
    """Return a Markdown table of medians, and of the ratios within rounds."""
    rows = [
        "| program | steps/s | thaw / program, median | lowest | highest | peak MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in rounds[0]:
        readings = [each[name] for each in rounds]
        speed = statistics.median(reading.steps_per_second for reading in readings)
        ratios = [each["thaw"].steps_per_second / each[name].steps_per_second for each in rounds]
        spread = [statistics.median(ratios), min(ratios), max(ratios)]
        ratio = " | ".join("" if name == "thaw" else f"{value:.2f}" for value in spread)
        memory = max(reading.peak_mib for reading in readings)
        rows.append(f"| {name} | {speed:,.0f} | {ratio} | {memory:,.0f} |")
    return "\n".join(rows)


def heading(options: argparse.Namespace, num_rounds: int) -> str:
    """Return a line that says when, where and how the table was measured."""
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {options.threads} threads, "
        f"{num_rounds} rounds, windows of {options.seconds:g} s; load of the machine at the end "
        f"{loads}\n"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of one program in one round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=PEERS, help="compare with this one only")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="also write the table there")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that programs are ended too
    programs = [each for each in PROGRAMS if not (each.peer and options.only)]
    programs += [each for each in PROGRAMS if options.only and each.peer == options.only]
    pythons: dict[str, Any] = {"": Path(sys.executable)}
    pythons |= {peer: python_of(peer) for peer in {each.peer for each in programs} - {""}}
    rounds = []
    for turn in range(options.rounds):
        shift = turn % len(programs)  # so that none always goes first
        readings = {}
        for program in programs[shift:] + programs[:shift]:
            readings[program.name] = run(program, pythons[program.peer], options)
            rate, mib = readings[program.name]
            say(f"round {turn + 1}: {program.name}: {rate:,.0f} steps/s, {mib:,.0f} MiB")
            time.sleep(1)  # time for its processes to end
        rounds.append({program.name: readings[program.name] for program in programs})
        text = heading(options, len(rounds)) + "\n" + table(rounds) + "\n"
        if options.out is not None:  # after every round: the comparison may be interrupted
            options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
