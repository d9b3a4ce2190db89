"""Five runs, one of them in an environment that misbehaves: that run fails, the others do not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from bad_envs import KINDS
from fault_processes import RunningThaw
from fault_sizes import is_sample, patience, together, wait_until
from fault_suite import keys_of
from fault_tally import Tally
from thaw_server import Answer, ThawServer

pytestmark = [
    pytest.mark.faults("environments"),
    pytest.mark.timeout(1800),
    *together("server"),
]

NAMES = {
    "raise_always": "the camera is broken",
    "raise_once": "the camera is broken",
    "error_text": "the emulator [/dev/kvm] went",
    "exit_now": "exit code 7",
    "sys_exit": "its process",
    "segfault": "-11",
    "nan_reward": "reward",
    "inf_reward": "reward",
    "nan_observation": "observation",
    "hang_in_step": "seconds",
    "hang_in_reset": "seconds",
    "memory": "MemoryError",
}
"""What the message about each kind says."""

HARMLESS = ("print", "thread")
"""Kinds whose own run can be done as well."""

SAMPLE = ("error_text",)

STALL_SECONDS = 15

BAD = "gym/bad_envs:Bad-v0?kind="

SUITE = """\
name: five
transfers: [{transfers}]
conditions: [scratch]
seeds: 1
pretrain_steps: 200
transfer_steps: 200
environment: {{num_envs: 2}}
agent: {{embedding: mlp, unroll_length: 5, lstm_size: 8, fc_size: 8}}
evaluation: {{episodes: 4, source: false}}
report: {{num_bins: 4}}
"""


def five(kind: str, place: Path) -> Path:
    """Write a suite of five runs, the third of which is bad."""
    flavors = [f"{BAD}good&place={number}" for number in range(4)]
    flavors.insert(2, f"{BAD}{kind}&place=9")
    pairs = [f'{{source: "{BAD}good", target: "{flavor}"}}' for flavor in flavors]
    suite = place / "five.yaml"
    suite.write_text(SUITE.format(transfers=", ".join(pairs)))
    return suite


@pytest.mark.parametrize("kind", SAMPLE if is_sample() else KINDS)
def test_one_bad_environment_is_one_failed_run(
    kind: str, server: ThawServer, place: Path, tally: Tally
) -> None:
    tally.tried()
    suite, out = five(kind, place), place / "out"
    hangs = kind.startswith("hang")
    words: list[object] = ["run", suite, "--out", out, "--workers", 2, "--trust-code"]
    words += ["--stall-seconds", patience(STALL_SECONDS)] if hangs else []
    first = server(*words, cwd=place, seconds=180 if hangs else 90)
    check_plain(first)
    assert first.status in ((0, 1) if kind in HARMLESS else (1,)), first.err
    check_runs(kind, suite, out, server, place)
    if kind in HARMLESS:
        return
    (bad_key,) = [key for key in keys_of(suite) if kind in key]
    assert f"FAILED {bad_key}: " in first.err
    said = first.err.partition(f"FAILED {bad_key}: ")[2].partition("\n")[0]
    assert NAMES[kind] in said  # after the key, which has the kind in it

    status = server("status", out, cwd=place)
    check_plain(status)
    assert status.status == 0, status.err
    failed = [line for line in status.out.splitlines() if line.startswith("failed ")]
    assert len(failed) == 1, status.out
    assert bad_key in failed[0]
    assert NAMES[kind] in failed[0].partition(bad_key)[2]

    report = server("report", out, cwd=place)
    check_plain(report)
    assert report.status == 0, report.err
    assert "missing" in report.out

    look = server("watch", out, cwd=place, seconds=20)
    check_plain(look)
    assert look.status == 1, look.err

    again = server(*words, "--retry-failed", cwd=place, seconds=180 if hangs else 90)
    check_plain(again)
    assert again.status == (0 if kind == "raise_once" else 1), again.err


def check_runs(kind: str, suite: Path, out: Path, server: ThawServer, place: Path) -> None:
    """Check that the four good runs are done and stand in the scores."""
    scores = (out / "scores.csv").read_text()
    for key in keys_of(suite):
        if kind not in key:
            result = json.loads((out / "runs" / key / "result.json").read_text())
            assert result["evaluation"]["num_episodes"] == 4
            assert key in scores


def check_plain(answer: Answer) -> None:
    """Check that an answer came, without a traceback or anything that moves the cursor."""
    assert answer.status is not None, answer.err
    assert "Traceback" not in answer.err, answer.err
    assert not [letter for letter in answer.out + answer.err if letter in "\x1b\x07\x08\r"]
    own = [line for line in answer.lines if not line.startswith("printed by the environment")]
    assert len(own) <= 1, answer.err


def test_a_printing_environment_leaves_json_whole(
    server: ThawServer, place: Path, tally: Tally
) -> None:
    tally.tried()
    words = ["evaluate", "random", f"{BAD}print", "--episodes", "10", "--json"]
    answer = server(*words, cwd=place)
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["num_episodes"] == 10


@pytest.mark.skipif(is_sample(), reason="`make test-faults` tries it")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_run_that_hangs(
    signum: signal.Signals, place: Path, tally: Tally
) -> None:
    tally.tried()
    suite, out = five("hang_in_step", place), place / "out"
    words = ["run", suite, "--out", out, "--workers", 2, "--trust-code"]
    thaw = RunningThaw(words, place, PYTHONPATH=os.pathsep.join(sys.path))
    try:
        good = [out / "runs" / key / "result.json" for key in keys_of(suite) if "good" in key]
        done = wait_until(lambda: all(path.exists() for path in good), patience(180))
        assert done, thaw.err
        time.sleep(1)
        thaw.send(signum, group=True)
        time.sleep(2)
        thaw.send(signum, group=True)
        assert thaw.end(patience(5)) == 128 + signum, thaw.err
        assert "Traceback" not in thaw.err, thaw.err
        assert thaw.leaves_nothing(), thaw.family()
    finally:
        thaw.clear()


@pytest.mark.skipif(is_sample(), reason="the four good runs beside a bad one show it")
def test_the_good_environment_is_good(server: ThawServer, place: Path, tally: Tally) -> None:
    tally.tried()
    suite, out = five("good", place), place / "out"
    answer = server("run", suite, "--out", out, "--trust-code", cwd=place, seconds=90)
    check_plain(answer)
    assert answer.status == 0, answer.err
    shutil.rmtree(out)
