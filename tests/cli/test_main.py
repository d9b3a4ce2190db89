"""The command line as a whole: mostly in this process, with a sample of real ones."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import TINY, Say, listing, thaw_command, thaw_process
from refusals import check_refusal, words_of

import thaw

SAMPLE: list[tuple[str, list[str]]] = [
    (
        "run tiny.yaml --out x --seedz 2",
        ["unknown option '--seedz' of thaw run; did you mean '--seeds'? Allowed: --out, --set"],
    ),
    (
        "transfer PRETRAINED catch?num_actions=56 --rule update_all --out x --steps 9",
        ["54", "56", "give"],
    ),
    ("report --scores bad.csv --out x", ["column 'target' is missing; needed are target"]),
]  # fmt: skip


SAY_ALL = """\
import io, json, sys
from contextlib import redirect_stdout
from thaw.cli.main import main

said = []
for command in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as out:
        said.append((main(command), out.getvalue()))
print(json.dumps(said))
"""
"""Several commands in one process that is not this one, which has imported torch."""


@pytest.fixture(scope="session")
def blocker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH on which torch cannot be imported, as on a laptop without it."""
    folder = tmp_path_factory.mktemp("blocker")
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ImportError('torch is not here')\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    return str(folder)


@pytest.mark.long
def test_planning_and_reporting_need_no_torch(blocker: str, finished: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "target,condition,seed,mean_return\ncatch@large_ball,scratch,0,1\n"
        "catch@large_ball,random,0,0\n"
    )
    (tmp_path / "tiny.yaml").write_text(TINY)
    commands = [
        ["--help"],
        ["run", "--help"],
        ["plan", "catch-quick"],
        ["plan", "tiny.yaml", "--json"],
        ["plan", "tiny.yaml", "--yaml"],
        ["status", finished],
        ["report", finished, "--out", "report"],
        ["report", "--scores", scores, "--out", "theirs"],
        ["flavors"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", SAY_ALL, json.dumps(commands, default=str)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join([blocker, *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for command, (status, out) in zip(commands, json.loads(done.stdout), strict=True):
        assert status == 0, command
        assert out, command
    assert (tmp_path / "report/index.html").is_file()
    assert (tmp_path / "theirs/index.html").is_file()
    acting = thaw_command("evaluate", "random", "catch", cwd=tmp_path, PYTHONPATH=blocker)
    assert "torch is not here" in acting.err  # the blocker does block


@pytest.mark.parametrize("command", [("--help",), ("plan", "catch-quick")])
def test_help_and_plan_take_a_second_of_one_core(command: tuple[str, ...], tmp_path: Path) -> None:
    def children_seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):  # the machine may be busy; one quick answer shows what is possible
        before = children_seconds()
        assert thaw_command(*command, cwd=tmp_path).status == 0
        seconds.append(children_seconds() - before)
        if seconds[-1] < 1.0:
            return
    raise AssertionError(f"{seconds} seconds")


@pytest.mark.parametrize("command", [["thaw"], [sys.executable, "-m", "thaw"]])
def test_thaw_and_python_m_thaw_are_the_same_command(command: list[str], tmp_path: Path) -> None:
    if command == ["thaw"]:
        command = [str(Path(sys.executable).with_name("thaw"))]
    version, wrong = (
        subprocess.run([*command, word], cwd=tmp_path, capture_output=True, text=True, check=False)
        for word in ("--version", "rnu")
    )
    assert (version.returncode, version.stdout, version.stderr) == (
        0, f"thaw {thaw.__version__}\n", "",
    )  # fmt: skip
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("thaw: unknown command 'rnu'; did you mean 'run'?")


def test_help_says_how_to_go_on(say: Say) -> None:
    spoken = say("--help")
    assert (spoken.status, spoken.err) == (0, "")
    assert "`thaw --version` prints the version" in spoken.out
    assert say("--version") == (0, f"thaw {thaw.__version__}\n", "")


def test_wrong_input_is_refused_by_the_installed_command_too(
    littered: Path, finished: Path
) -> None:
    before = listing(littered)
    for line, said in SAMPLE:
        check_refusal(thaw_command(*words_of(line, finished), cwd=littered), said)
    assert listing(littered) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "line",
    [
        "run tiny.yaml --out x --device cuda",
        "train catch --out x --steps 9 --device cuda",
        "evaluate random catch --device cuda",
    ],
)
def test_a_gpu_that_is_not_there_is_said(line: str, say: Say, littered: Path) -> None:
    before = listing(littered)
    check_refusal(say(*line.split()), ["device 'cuda' is not there (no usable CUDA GPU); use cpu"])
    assert listing(littered) == before


def test_a_reader_that_leaves_early_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    with thaw_process("plan", "catch-paper", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
