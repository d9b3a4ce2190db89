"""Kills and signals at random moments: the same command goes on to the same bits."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import thaw_here
from fault_processes import RunningThaw
from fault_sizes import generator, is_sample, patience, tries, wait_until
from fault_suite import SETTINGS, Setting, differences, suite_text
from fault_tally import Tally

from thaw.files.attempts import ATTEMPTS, read_attempts

pytestmark = [pytest.mark.faults("kills"), pytest.mark.timeout(1800)]

ENDINGS = ("kill group", "SIGTERM", "kill driver", "SIGINT", "SIGUSR1", "SIGHUP", "SIGUSR2")
"""Interruptions after which the driver is gone."""

DISTURBANCES = ("stop and continue", "kill a worker", "kill the fork server")
"""Interruptions after which it goes on."""

END_SECONDS = 600

chains = [
    pytest.param(
        number,
        marks=pytest.mark.xdist_group(str(SETTINGS[number % len(SETTINGS)])),
        id=f"{SETTINGS[number % len(SETTINGS)]}-{number}",
    )
    # The sample is the hardest setting.
    for number in ([len(SETTINGS) - 1] if is_sample() else range(tries(1, 1)))
]


class Reference:
    """A suite that ran without an interruption."""

    def __init__(self, root: Path, setting: Setting) -> None:
        self.root = root
        self.suite = root / "suite.yaml"
        self.suite.write_text(suite_text(setting))
        thaw = RunningThaw(self.command(root / "unbroken"), root)
        first_run = root / "unbroken/runs/catch/pretrain/seed0/run.json"
        wait_until(lambda: first_run.exists() or thaw.is_over, patience(END_SECONDS))
        self.loading_seconds = time.time() - thaw.started
        assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
        assert thaw.leaves_nothing()

    def command(self, out: Path) -> Sequence[object]:
        return ["run", self.suite, "--out", out, "--workers", 2]

    def differences(self, out: Path) -> list[str]:
        return differences(self.root / "unbroken", out, self.suite)


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[Setting, Reference]:
    return {}


@pytest.fixture
def reference(
    references: dict[Setting, Reference],
    number: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Reference:
    setting = SETTINGS[number % len(SETTINGS)]
    if setting not in references:
        references[setting] = Reference(tmp_path_factory.mktemp(str(setting)), setting)
    return references[setting]


@pytest.mark.long
@pytest.mark.parametrize("number", chains)
def test_an_interrupted_suite_goes_on_to_the_same_bits(
    number: int, reference: Reference, place: Path, tally: Tally
) -> None:
    draw = generator("chain", number)
    out = place / "out"
    moments = ["checkpoint"]
    if not is_sample():
        moments = [draw.choice(["start", "loading"]), "checkpoint", "checkpoint"]
        moments.append(draw.choice(["result", "tables"]))
    broken = []
    for turn, moment in enumerate(moments):
        ending = ENDINGS[(4 * number + turn) % len(ENDINGS)]
        broken += interrupt(ending, moment, reference, out, place, draw, tally)
    if not is_sample():
        disturbance = DISTURBANCES[number % len(DISTURBANCES)]
        broken += disturb(disturbance, reference, out, place, draw, tally)
    tally.failed(len(broken))
    finish(reference, out, place)
    assert reference.differences(out) == []
    assert [path for path in out.rglob("*") if path.suffix in (".tmp", ".new")] == []
    assert not broken, "\n".join(broken)


@pytest.mark.skipif(is_sample(), reason="tests/experiment/test_driver.py has a sample of it")
@pytest.mark.parametrize("number", chains)
def test_a_run_whose_process_is_killed_is_tried_again_to_the_same_bits(
    number: int, reference: Reference, place: Path, tally: Tally
) -> None:
    draw = generator("worker", number)
    out = place / "out"
    thaw = RunningThaw(reference.command(out), place)
    killed: set[int] = set()
    try:
        for _ in range(2):
            wait_for_moment("checkpoint", reference, out, thaw, draw)
            if workers := sorted(set(thaw.workers()) - killed):
                killed.add(chosen := draw.choice(workers))
                os.kill(chosen, signal.SIGKILL)
                tally.tried()
        assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
        assert thaw.leaves_nothing(), thaw.family()
    finally:
        thaw.clear()
    assert reference.differences(out) == []
    tries = [read_attempts(path.parent) for path in out.glob(f"runs/**/{ATTEMPTS}")]
    crashed = [attempt for attempts in tries for attempt in attempts if attempt.cause == "crash"]
    assert {attempt.pid for attempt in crashed} <= killed | {0}  # 0: it had just begun
    assert len(killed) >= len(crashed) == thaw.err.count("again ")
    assert all(attempts[-1].cause == "done" for attempts in tries)


def interrupt(
    ending: str,
    moment: str,
    reference: Reference,
    out: Path,
    place: Path,
    draw: random.Random,
    tally: Tally,
) -> list[str]:
    """Run the command and end it at some moment.

    Returns:
        What broke a promise; empty as well if the command was done before the moment.
    """
    thaw = RunningThaw(reference.command(out), place)
    try:
        wait_for_moment(moment, reference, out, thaw, draw)
        if thaw.is_over:
            status = thaw.end(0)
            return [] if status == 0 else [f"exit status {status} by itself: {thaw.err}"]
        tally.tried()
        if ending.startswith("kill"):
            signum, group = signal.SIGKILL, ending == "kill group"
        else:
            signum, group = signal.Signals[ending], draw.random() < 0.5
        # Before that, a signal may end Python itself, as thaw is not loaded yet.
        is_early = moment in ("start", "loading")
        before = time.time()
        thaw.send(signum, group=group)
        status = thaw.end(patience(10))
        said = (
            f"{ending} to {'all' if group else 'the driver'} at '{moment}', "
            f"{before - thaw.started:.2f} s after the start: exit status {status} "
            f"after {time.time() - before:.1f} s"
        )
        print(said)
        broken = [] if thaw.leaves_nothing() else [f"{said}: {thaw.family()} live"]
        wrong = wrong_exit(signum, status, is_early, thaw)
        return [*broken, *[f"{said}: {what}\n{thaw.err}" for what in wrong]]
    finally:
        thaw.clear()


def wrong_exit(
    signum: signal.Signals, status: int | None, is_early: bool, thaw: RunningThaw
) -> list[str]:
    """Compare how the command ended with what the docs say of the signal."""
    if status is None:
        return ["it still runs"]
    allowed = {-signum} if signum == signal.SIGKILL else {128 + signum}
    # Before thaw's command has begun, Ctrl-C is answered by Python itself.
    is_python_s = signum == signal.SIGINT and is_early and "/thaw/cli/main.py" not in thaw.err
    if is_early:
        allowed.add(-signum)
    if is_python_s and "Fatal Python error: init_import_site" in thaw.err:
        allowed.add(1)
    if "report: " in thaw.out:  # the signal came after the last word
        allowed |= {0, -signum}
    found = [] if status in allowed else [f"the status should be one of {allowed}"]
    if "Traceback" in thaw.err and not is_python_s:
        found.append("a traceback")
    return found


def wait_for_moment(
    moment: str, reference: Reference, out: Path, thaw: RunningThaw, draw: random.Random
) -> None:
    """Sleep until a moment of one phase has come, or thaw is over."""
    limit = patience(END_SECONDS)
    if moment == "start":
        time.sleep(draw.uniform(0, 0.05))
    elif moment == "loading":
        seconds = draw.uniform(0, 1.2 * reference.loading_seconds)
        wait_until(lambda: thaw.is_over, seconds, step=0.01)
    elif moment == "tables":
        table = out / "scores.csv"
        wait_until(lambda: written_since(table, thaw.started) or thaw.is_over, limit, step=0.005)
        time.sleep(draw.uniform(0, 1.0))
    else:
        pattern, most, within = {
            "checkpoint": ("runs/*/*/seed0/checkpoint/training_state.json", 8, 0.08),
            "result": ("runs/*/*/seed0/result.json", 2, 0.3),
        }[moment]
        wanted, seen = draw.randint(1, most), set[tuple[Path, int]]()

        def has_come() -> bool:
            for path in out.glob(pattern):
                if written_since(path, thaw.started):
                    seen.add((path, path.stat().st_mtime_ns if path.exists() else 0))
            return len(seen) >= wanted or thaw.is_over

        wait_until(has_come, limit, step=0.005)
        time.sleep(draw.uniform(0, within))


def written_since(path: Path, started: float) -> bool:
    try:
        return path.stat().st_mtime >= started
    except FileNotFoundError:
        return False


def disturb(
    disturbance: str,
    reference: Reference,
    out: Path,
    place: Path,
    draw: random.Random,
    tally: Tally,
) -> list[str]:
    """Run the command and disturb it in a way that it survives; return what broke a promise."""
    thaw = RunningThaw(reference.command(out), place)
    try:
        begun = wait_until(lambda: bool(thaw.workers()) or thaw.is_over, patience(END_SECONDS))
        assert begun, f"no run begins\n{thaw.err}"
        time.sleep(draw.uniform(0, 1.0))
        workers, fork_server = thaw.workers(), thaw.fork_server()
        if disturbance == "stop and continue":
            thaw.send(signal.SIGSTOP, group=True)
            time.sleep(draw.uniform(0.2, 2.0))
            thaw.send(signal.SIGCONT, group=True)
        elif disturbance == "kill a worker" and workers:
            os.kill(draw.choice(workers), signal.SIGKILL)
        elif fork_server is not None:
            os.kill(fork_server, signal.SIGKILL)
        else:
            return []  # it was done before
        tally.tried()
        status = thaw.end(patience(END_SECONDS))
        said = f"{disturbance}: exit status {status}"
        print(said)
        # A run whose process is killed is tried again, from its checkpoint.
        broken = [] if status == 0 else [f"{said}, not 0\n{thaw.err}"]
        if "Traceback" in thaw.err:
            broken.append(f"{said}: a traceback\n{thaw.err}")
        if not thaw.leaves_nothing():
            broken.append(f"{said}: {thaw.family()} live")
        return broken
    finally:
        thaw.clear()


def finish(reference: Reference, out: Path, place: Path) -> None:
    """Give the same command once more; it must do all that is left."""
    done = thaw_here(*reference.command(out), cwd=place)
    assert done.status == 0, done.err
