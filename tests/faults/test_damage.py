"""Damaged files: every command answers in a line, and no damage becomes another result."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from fault_sizes import drawn, generator, is_sample, together, tries
from fault_suite import (
    SETTINGS,
    differences,
    keys_of,
    run_differences,
    run_path,
    same_policy,
    suite_text,
)
from fault_tally import Tally
from thaw_server import Answer, ThawServer

from thaw.config.runtime import Runtime
from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

pytestmark = [pytest.mark.faults("damage"), pytest.mark.timeout(3600), *together("server")]

DAMAGES = ("flip", "truncate", "empty", "delete", "append NUL", "folder")

SAMPLE = ("flip", "folder")

TRANSFER = "catch@large_ball/freeze_head/seed0"

STEPS = 400


class Bases(NamedTuple):
    """Folders of one suite that are copied and damaged."""

    suite: Path
    finished: Path
    halfway: Path
    """The transfer has saved some times and is not done."""


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory, server: ThawServer) -> Bases:
    root = tmp_path_factory.mktemp("bases")
    bases = Bases(root / "suite.yaml", root / "finished", root / "halfway")
    bases.suite.write_text(suite_text(SETTINGS[0], STEPS, STEPS, "random, freeze_head"))
    done = run(server, bases.suite, bases.finished, root)
    assert done.status == 0, done.err
    shutil.copytree(bases.finished, bases.halfway)
    for derived in ("scores.csv", "curves.csv"):
        (bases.halfway / derived).unlink()
    shutil.rmtree(bases.halfway / "report")
    shutil.rmtree(run_path(bases.halfway, TRANSFER))
    do_half(bases.halfway, planned(bases.suite, TRANSFER))
    unbroken = root / "unbroken"
    shutil.copytree(bases.halfway, unbroken)
    assert run(server, bases.suite, unbroken, root).status == 0
    assert differences(bases.finished, unbroken, bases.suite) == []
    return bases


def planned(suite: Path, key: str) -> PlannedRun:
    return next(run for run in plan(load_suite(suite)).runs if run.key == key)


def do_half(folder: Path, run: PlannedRun) -> None:
    """Execute half of a run, which saves after every update."""
    run_folder = SuiteFolder(folder).run_folder(run)
    assert run.source_key is not None
    with pytest.raises(Stopped):
        execute_run(
            run.spec,
            run_folder,
            Runtime(checkpoint_seconds=0),
            source=run_path(folder, run.source_key),
            should_stop=lambda: run_folder.saved_steps() >= run.spec.steps // 2,
        )


def run(server: ThawServer, suite: Path, out: Path, cwd: Path) -> Answer:
    return server("run", suite, "--out", out, "--workers", 2, cwd=cwd, seconds=120)


def files_of(folder: Path) -> list[Path]:
    """Return the files of a suite's folder, but of the figures one alone."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    figures = [file for file in files if "figures" in file.parts]
    return [file for file in files if file not in figures[1:]]


def damage(path: Path, how: str, where: int) -> None:
    """Damage a file.

    Args:
        path: The file.
        how: One of DAMAGES.
        where: A large number that chooses the bit.
    """
    data = path.read_bytes()
    path.unlink()
    if how == "flip":
        changed = bytearray(data)
        if changed:
            changed[where % len(changed)] ^= 1 << (where % 7)
        path.write_bytes(bytes(changed))
    elif how == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "append NUL":
        path.write_bytes(data + b"\0")
    elif how == "folder":
        path.mkdir()


@pytest.mark.parametrize("how", SAMPLE if is_sample() else DAMAGES)
def test_a_damaged_file_is_named_or_made_again(
    how: str, bases: Bases, server: ThawServer, place: Path, tally: Tally
) -> None:
    cases = [(base, file) for base in (bases.finished, bases.halfway) for file in files_of(base)]
    draw = generator("bits", how)
    broken: list[str] = []
    for number, (base, file) in enumerate(drawn(cases, tries(1, 2), how)):
        folder = place / f"{number}" / "out"
        shutil.copytree(base, folder)
        damage(folder / file, how, draw.getrandbits(40))
        said = f"{base.name} {file}: {how}"
        tally.tried()
        found = complaints(server, bases, folder, file)
        tally.failed(bool(found))
        broken += [f"{said}: {what}" for what in found]
        shutil.rmtree(folder.parent)
    print("\n".join(broken))
    assert not broken, f"{len(broken)} complaints\n" + "\n".join(broken)


def complaints(server: ThawServer, bases: Bases, folder: Path, file: Path) -> list[str]:
    """Look at a damaged folder, run it, and name all that should not be."""
    cwd = folder.parent
    found: list[str] = []
    spoken: list[Answer] = []
    for command in ("status", "watch", "report"):
        answer = server(command, folder, cwd=cwd, seconds=12)
        spoken.append(answer)
        found += [f"{command}: {what}" for what in wrong_answer(answer)]
    answer = run(server, bases.suite, folder, cwd)
    spoken.append(answer)
    found += [f"run: {what}" for what in wrong_answer(answer)]
    said = "\n".join(a.err + (a.out if a.status else "") for a in spoken)
    found += silent_changes(server, bases, folder, file, said)
    if answer.status not in (0, None):
        found += unhealed(server, bases, folder, answer)
    elif not found:
        left = differences(bases.finished, folder, bases.suite, tensors=False)
        found += [f"run ends with 0: {what}" for what in left]
    return found


def wrong_answer(answer: Answer) -> list[str]:
    """Name what is wrong about an answer, whatever it says."""
    if answer.status is None:
        return [f"it does not end: {answer.err[-300:]}"]
    if "Traceback" in answer.err:
        return [f"a traceback: {answer.err.strip().splitlines()[-1]}"]
    found = [] if answer.status in (0, 1, 2) else [f"exit status {answer.status}"]
    if len(answer.lines) > 1:
        found.append(f"{len(answer.lines)} lines: {answer.lines[:3]}")
    return found


def silent_changes(
    server: ThawServer, bases: Bases, folder: Path, file: Path, said: str
) -> list[str]:
    """Name the runs that are done with another result although no message named them."""
    found = []
    for key in keys_of(bases.suite):
        here, there = run_path(folder, key), run_path(bases.finished, key)
        if not (here / "result.json").is_file() or key in said or file.name in said:
            continue
        if changed := run_differences(there, here, tensors=False):
            found.append(f"silently another result of {key}: {', '.join(changed)}")
        if (there / "checkpoint").is_dir() and not same_policy(there, here):
            # No command above reads the policy of a run that is done; this one does.
            words = ("--episodes", 1, "--set", "downsample=16")
            answer = server("evaluate", here, "catch", *words, cwd=folder.parent)
            found += [f"evaluate: {what}" for what in wrong_answer(answer)]
            if answer.status == 0:
                found.append(f"silently another policy of {key}")
    return found


def unhealed(server: ThawServer, bases: Bases, folder: Path, answer: Answer) -> list[str]:
    """Do what the messages advise until the suite is done; name what does not help."""
    for _ in range(3):
        advised = to_delete(answer.err, folder)
        for path in advised:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not advised:
            break
        answer = run(server, bases.suite, folder, folder.parent)
        if answer.status == 0:
            left = differences(bases.finished, folder, bases.suite)
            return [f"the advice leads to another result: {left}"] if left else []
    return [f"no advice helps: {' '.join(answer.err.split())[-400:]}"]


def to_delete(message: str, folder: Path) -> list[Path]:
    """Return the paths that a message says to delete, or the one before "delete it"."""
    message = " ".join(message.split())
    path = rf"'?({re.escape(str(folder))}/[^\s',;:()]*)'?"
    named = re.findall(rf"delete (?:the |that )?(?:file |folder )?{path}", message)
    named += re.findall(rf"delete [^;]*? and {path}", message)
    if not named:
        before, delete, _ = message.partition("delete it")
        named = re.findall(path, before)[-1:] if delete else []
    paths = [Path(text.rstrip(".")) for text in dict.fromkeys(named)]
    return [found for found in paths if found.exists()]
