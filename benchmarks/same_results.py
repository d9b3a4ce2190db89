"""Check that a refactoring changes no result: compare hashes of the same runs before and after.

python benchmarks/same_results.py take OUT.json [--out-dir DIR]
python benchmarks/same_results.py compare BEFORE.json AFTER.json [--anyway]

`take` uses the thaw that Python imports; `PYTHONPATH=CHECKOUT` selects it. It plans all built-in
suites, executes tiny suites and runs on the CPU (every rule, both repeatable clocks, a run that is
stopped and continued), and writes the hash of every result. Times are left out. `compare` lists
each difference and exits with 1 if a result differs, with 2 if it cannot compare. A changed help
or training state is only a note. GPUs and the asynchronous clock are not covered.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import thaw

ROOT = Path(thaw.__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "scipy", "pandas", "gymnasium", "safetensors")
RESULT_FILES = {"run.json", "result.json", "episodes.csv", "progress.csv", "policy.safetensors",
                "scores.csv", "curves.csv", "table.md", "table.csv", "table_source.csv",
                "metrics.csv", "evaluation.json"}  # fmt: skip
NOTED_FILES = {"training_state.safetensors"}
"""Not results, but the new code needs them to continue an old run."""
Section = Mapping[str, int | str]
ENVIRONMENT: Section = {"num_envs": 4, "downsample": 16, "frames_per_step": 8}
AGENT: Section = {"embedding": "impala_shallow", "precision": "float32", "unroll_length": 10,
                  "lstm_size": 16, "fc_size": 16}  # fmt: skip
OWN_RULE = "embedding=source:frozen,head=source:trained,head.value=random:trained"
RULES = ("random", "scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all", "own")
CLOCKS: dict[str, Section] = {
    "lockstep": {"clock": "lockstep"},
    "overlapped": {"clock": "overlapped"},
    "overlapped-2-groups": {"clock": "overlapped", "env_groups": 2},
}


def run_thaw(folder: Path, *arguments: str, stop_after: Path | None = None) -> str:
    """Run a command to its end, or stop it when a file has some rows; return its output."""
    say(f"thaw {' '.join(arguments[:2])} {'(stopped)' if stop_after else ''}")
    code = "import sys; from thaw.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],  # -P: only ROOT says which thaw it is
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while stop_after is not None and process.poll() is None:
        if stop_after.exists() and stop_after.read_bytes().count(b"\n") > 5:
            process.terminate()
            break
        time.sleep(0.01)
    out, err = process.communicate()
    expected = 0 if stop_after is None else 128 + signal.SIGTERM
    if process.returncode != expected:
        raise SystemExit(f"{arguments} ended with {process.returncode}, not {expected}:\n{err}")
    return out


def suite_hashes() -> dict[str, str]:
    """Return the content hash of every run of every built-in suite."""
    try:
        thaw.load_suite("no suite")
    except ValueError as error:  # its message lists the names
        listed = re.search(r"Built in: ([\w, -]+)", str(error))
    assert listed is not None, "the error for an unknown suite no longer lists the built-in ones"
    return {
        f"built-in/{name}/{run.key}": run.spec.content_hash
        for name in listed[1].split(", ")
        for run in thaw.plan(thaw.load_suite(name)).runs
    }


def settings(agent: Section, environment: Section) -> list[str]:
    """Return settings as flags of a single run."""
    items = [f"agent.{key}={value}" for key, value in {**AGENT, **agent}.items()]
    items += [f"environment.{key}={value}" for key, value in environment.items()]
    return [word for item in [*items, "evaluation.episodes=4"] for word in ("--set", item)]


def execute_suites(folder: Path) -> None:
    """Execute a tiny suite over all rules with each repeatable clock."""
    for name, clock in CLOCKS.items():
        suite = {
            "name": name, "transfers": [{"source": "catch", "target": "catch@large_ball"}],
            "conditions": RULES, "update_rules": {"own": OWN_RULE},
            "seeds": 2 if name == "lockstep" else 1, "pretrain_steps": 400, "transfer_steps": 360,
            "environment": ENVIRONMENT, "agent": {**AGENT, **clock}, "evaluation": {"episodes": 4},
            "report": {"num_bins": 4},
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(json.dumps(suite))  # JSON is YAML
        flags = ("--out", f"suites/{name}", "--workers", "1", "--device", "cpu")
        run_thaw(folder, "run", f"{name}.yaml", *flags)


def execute_runs(folder: Path) -> None:
    """Train, stop and continue, transfer and evaluate through the commands for single runs."""
    fixed = ("--seed", "3", "--device", "cpu")
    for name in ("lockstep", "overlapped-2-groups"):
        flags = settings(CLOCKS[name], ENVIRONMENT)
        train = ("train", "catch@small_paddle", "--steps", "2400", *fixed, *flags, "--out")
        resumed = f"resumed/{name}"
        run_thaw(folder, *train, f"unbroken/{name}")
        run_thaw(folder, *train, resumed, stop_after=folder / resumed / "progress.csv")
        run_thaw(folder, *train, resumed)
    own = ("--rule", OWN_RULE, "--steps", "360", "--out", "transfer")
    run_thaw(folder, "transfer", "unbroken/lockstep", "catch@large_ball", *own, *fixed)
    evaluate = ("evaluate", "transfer", "catch", "--episodes", "8", "--greedy", "--json", *fixed)
    (folder / "evaluation.json").write_text(run_thaw(folder, *evaluate))
    deep = settings({"embedding": "impala_deep"}, ENVIRONMENT)
    run_thaw(folder, "train", "catch", "--steps", "200", "--out", "deep", *fixed, *deep)
    vector = settings({"embedding": "mlp", "truncation": "bootstrap"}, {"num_envs": 4})
    run_thaw(folder, "train", "gym/CartPole-v1", "--steps", "2400", "--out", "mlp", *fixed, *vector)


def digests(folder: Path, names: set[str]) -> dict[str, str]:
    """Return the hashes, without times, of all files below a folder that have one of the names."""
    found = {}
    files = [file for file in sorted(folder.rglob("*")) if file.name in names]
    for file in files:
        if file.parent.name == "checkpoint.old":  # time decides how far that one is
            continue
        content = file.read_bytes()
        if file.suffix == ".csv":
            rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
            content = json.dumps([{**row, "seconds": None} for row in rows]).encode()
        elif file.suffix == ".json":
            plain = {**json.loads(content), "seconds": None}
            content = json.dumps(plain, sort_keys=True).encode()
        found[str(file.relative_to(folder))] = hashlib.sha256(content).hexdigest()[:16]
    return found


def help_texts() -> dict[str, str]:
    """Return the help of every command."""
    from thaw.cli import main

    os.environ["COLUMNS"] = "100"
    names, texts = [""], {}
    for name in names:
        with contextlib.redirect_stdout(io.StringIO()) as text:
            main([*name.split(), "--help"])
        texts[" ".join(["thaw", *name.split(), "--help"])] = text.getvalue()
        if not name:
            names += re.findall(r"\{([a-z,-]+)\}", text.getvalue())[0].split(",")
    return texts


def describe_machine() -> dict[str, str]:
    """Return what else than the code can change the last bits of a result."""
    text = cpuinfo.read_text() if (cpuinfo := Path("/proc/cpuinfo")).exists() else ""
    model = re.findall(r"model name\s*: (.*)", text)
    flags = sorted(set(re.findall(r"\b(?:avx|amx|fma)\w*", text)))
    processor = " ".join([*(model[:1] or [platform.processor()]), *flags])
    versions = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version(), "processor": processor, **versions}


def take(out: Path, out_dir: Path | None) -> int:
    """Write the hashes of all results of the thaw that Python imports."""
    if out_dir is not None and out_dir.exists() and any(out_dir.iterdir()):
        refuse(f"--out-dir {out_dir} is not empty: old runs could pass for new; give another")
    started = time.monotonic()
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    say(f"thaw of {ROOT} ({commit})")
    results, notes = suite_hashes(), help_texts()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (out_dir or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        execute_suites(folder)
        execute_runs(folder)
        results |= digests(folder, RESULT_FILES)
        notes |= digests(folder, NOTED_FILES)
    for name in results:
        resumed = name.replace("unbroken/", "resumed/")
        if results[name] != results.get(resumed):
            raise SystemExit(f"{resumed} differs from {name}; nothing was written")
    taken = {"root": str(ROOT), "commit": commit, "seconds": round(time.monotonic() - started)}
    document = {"taken": taken, "machine": describe_machine(), "results": results, "notes": notes}
    out.write_text(json.dumps(document, indent=1) + "\n")
    say(f"{len(results)} results in {taken['seconds']} s: {out}")
    return 0


def compare(before: Path, after: Path, anyway: bool) -> int:
    """Print each difference in one line; return 1 if a result differs."""
    old, new = (json.loads(file.read_text()) for file in (before, after))
    other = differences(old["machine"], new["machine"])
    if other and not anyway:
        refuse(f"two machines ({'; '.join(other)}); take both on one, or compare with --anyway")
    num_compared = len(old["results"] | new["results"])
    if num_compared == 0:
        refuse("neither file has a result")
    differ = differences(old["results"], new["results"])
    notes = differences(old["notes"], new["notes"])
    lines = [*(f"DIFFERS {line}" for line in differ), *(f"note: {line}" for line in notes)]
    origins = [f"{file['taken']['root']} ({file['taken']['commit']})" for file in (old, new)]
    print(*lines, " -> ".join(origins), sep="\n")
    print(f"{num_compared} results compared, {len(differ)} differ; {len(notes)} notes")
    return 1 if differ else 0


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a line for each value that differs: its name and the first lines that differ."""
    found = []
    for name in [name for name in before | after if before.get(name) != after.get(name)]:
        texts = [[*f.get(name, "(missing)").split("\n"), "(end)"] for f in (before, after)]
        old, new = next(pair for pair in zip(*texts, strict=False) if pair[0] != pair[1])
        found.append(f"{name}: {' '.join(old.split())} -> {' '.join(new.split())}")
    return found


def say(line: str) -> None:
    print(line.rstrip(), file=sys.stderr, flush=True)


def refuse(reason: str) -> None:
    say(f"same_results: {reason}")
    raise SystemExit(2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("take", help="write the hashes of all results")
    command.add_argument("out", type=Path, metavar="OUT.json")
    command.add_argument("--out-dir", type=Path, metavar="DIR", help="keep the run folders here")
    command = commands.add_parser("compare", help="list all differences")
    command.add_argument("before", type=Path, metavar="BEFORE.json")
    command.add_argument("after", type=Path, metavar="AFTER.json")
    command.add_argument("--anyway", action="store_true", help="also if the machines differ")
    given = vars(parser.parse_args())
    raise SystemExit(take(**given) if given.pop("command") == "take" else compare(**given))
