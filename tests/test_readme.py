"""README.md's commands and Python are run, with small budgets and in their order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import thaw_command

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL_SUITE = [
    "--set", "pretrain_steps=400", "--set", "transfer_steps=400",
    "--set", "evaluation.episodes=8", "--seeds", "1",
]  # fmt: skip


def blocks(*languages: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands() -> list[list[str]]:
    """Return the commands of the shell blocks as words, comments left out."""
    lines = [
        line.removeprefix("$ ")
        for block in blocks("sh", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [
        shlex.split(line, comments=True) for line in lines if line.startswith(("thaw ", "make "))
    ]


def without(words: list[str], flag: str) -> list[str]:
    """Drop a flag and its value."""
    if flag not in words:
        return words
    place = words.index(flag)
    return words[:place] + words[place + 2 :]


def made_small(words: list[str]) -> list[str]:
    """Cut a command's budget."""
    match words[1]:
        case "run":
            return [*without(words, "--seeds"), *SMALL_SUITE]
        case "train" | "transfer":
            small = [*without(words, "--steps"), "--steps", "400"]
            return [*small, "--set", "evaluation.episodes=8"]
        case "evaluate":
            return [*without(words, "--episodes"), "--episodes", "8"]
        case _:
            return words


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's thaw commands have been run, one after the other."""
    folder = tmp_path_factory.mktemp("readme")
    for words in commands():
        if words[0] == "thaw":
            spoken = thaw_command(*made_small(words)[1:], cwd=folder)
            assert spoken.status == 0, (words, spoken.err)
    return folder


def test_the_readme_shows_the_commands_that_matter() -> None:
    shown = {words[1] for words in commands() if words[0] == "thaw"}
    assert {"run", "plan", "status", "report", "train", "transfer", "evaluate"} <= shown
    assert ["make", "demo"] in commands()


def test_every_command_of_the_readme_runs(workplace: Path) -> None:
    assert (workplace / "demo-catch/report/index.html").is_file()


def test_every_make_target_of_the_readme_is_there() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = re.findall(r"`make ([\w-]+)`", README)
    asked += [words[1] for words in commands() if words[0] == "make"]
    assert asked
    assert set(asked) <= set(targets)


def test_every_python_block_of_the_readme_runs(workplace: Path) -> None:
    assert blocks("python")
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=workplace, capture_output=True, text=True
        )
        assert done.returncode == 0, (block, done.stderr)


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
