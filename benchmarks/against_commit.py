"""Measure how fast this checkout trains beside another commit of thaw, in turns.

    python benchmarks/against_commit.py COMMIT --flavor catch --rounds 5

A shared machine's speed moves more within an hour than two commits differ. So each round times
each update rule once at either commit, one right after the other, and the ratio is taken within
the round. What is timed is the function that `thaw train` calls, in lockstep, with its logs and
checkpoints, between two updates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = {
    "update_all": "embedding=random:trained,head=random:trained",
    "freeze_head": "embedding=random:trained,head=random:frozen",
    "freeze_embedding": "embedding=random:frozen,head=random:trained",
}


def measure(flavor: str, rule: str, options: argparse.Namespace) -> None:
    """Train until the window of `options.seconds` has passed; print decisions per second."""
    from thaw.config.agent import AgentConfig
    from thaw.config.flavor import Flavor
    from thaw.config.run_spec import RunSpec
    from thaw.config.runtime import Runtime
    from thaw.config.update_rule import UpdateRule
    from thaw.files.run_folder import RunFolder
    from thaw.training.progress import Progress, Stopped
    from thaw.training.run import execute_run

    agent = dict(item.split("=") for item in options.agent)
    spec = RunSpec(
        condition="measured",
        flavor=Flavor(flavor),
        update_rule=UpdateRule(RULES[rule]),
        seed=0,
        steps=10**9,  # the window ends it
        environment={"num_envs": 32},
        agent=AgentConfig(**agent),
    )
    opened: list[tuple[float, int]] = []
    closed: list[tuple[float, int]] = []
    first: list[float] = []

    def watch(progress: Progress) -> None:
        now = time.perf_counter()
        first.append(now)
        if not opened:
            if len(first) > 3 and now - first[0] >= options.warm_up_seconds:
                opened.append((now, progress.steps))
        elif not closed and now - opened[0][0] >= options.seconds:
            closed.append((now, progress.steps))

    with tempfile.TemporaryDirectory() as folder:
        try:
            execute_run(
                spec,
                RunFolder(Path(folder) / "run"),
                Runtime(num_threads=options.threads),
                watch=watch,
                should_stop=lambda: bool(closed),
            )
        except Stopped:
            seconds = closed[0][0] - opened[0][0]
            print(json.dumps((closed[0][1] - opened[0][1]) / seconds))


def main() -> None:
    """Print a table: each commit's median, and the median, lowest and highest ratio of rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--flavor", default="catch")
    parser.add_argument("--agent", action="append", default=[], help="agent option, KEY=VALUE")
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window")
    parser.add_argument("--warm-up-seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--measure", choices=list(RULES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.flavor, options.measure, options)
        return
    with checkout_of(options.commit) as other:
        _compare(other, options)


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a temporary folder for as long as it is needed."""
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        subprocess.run([*git, "worktree", "add", "--detach", other, commit], check=True)
        try:
            yield other
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", other], check=True)


def _compare(other: Path, options: argparse.Namespace) -> None:
    rates: dict[str, list[tuple[float, float]]] = {rule: [] for rule in options.rules}
    for index in range(options.rounds):
        for rule in options.rules:
            sides = [ROOT, other] if index % 2 == 0 else [other, ROOT]
            measured = {side: _measure_in(side, rule) for side in sides}
            rates[rule].append((measured[ROOT], measured[other]))
            print(f"round {index + 1}, {rule}: {measured}", file=sys.stderr, flush=True)
    print("| rule | this commit | other | ratio: median | lowest | highest |")
    print("|---|---:|---:|---:|---:|---:|")
    for rule, pairs in rates.items():
        ratios = [ours / theirs for ours, theirs in pairs]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(
            f"| {rule} | {ours:,.0f} | {theirs:,.0f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} | {max(ratios):.2f} |"
        )


def _measure_in(checkout: Path, rule: str) -> float:
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", rule]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    ended = subprocess.run(
        command, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(ended.stdout))


if __name__ == "__main__":
    main()
