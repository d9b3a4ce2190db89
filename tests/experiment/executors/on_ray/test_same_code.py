"""Two machines with other code are told apart, in words that say what differs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.suite import Suite, Transfer
from thaw.experiment.executors.on_ray.same_code import code_here, differences, modules_of

ASK = """
import json, sys
from thaw.experiment.executors.on_ray.same_code import code_here
json.dump(code_here(sys.argv[1:]), sys.stdout)
"""


def code_there(place: Path, *modules: str) -> str:
    """What a process that works in a folder says of its code, compared with this one's."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *modules], cwd=place, capture_output=True, text=True, check=True
    )
    there: dict[str, str] = json.loads(done.stdout)
    return differences(code_here(()), there)


def test_the_same_code_has_no_differences() -> None:
    here = code_here(("json",))
    assert differences(here, code_here(("json",))) == ""
    assert {"Python", "thaw", "torch", "envpool", "json"} <= here.keys()
    assert here["torch"].count(".") == 2
    assert "+" not in here["torch"], "a driver without a GPU may have torch for CPUs"


def test_differences_name_package_and_both_versions() -> None:
    here = {"torch": "2.13.0", "numpy": "2.4.6", "thaw": "0.1.0 source a"}
    there = {"torch": "2.12.0", "numpy": "2.4.6"}
    assert differences(here, there) == (
        "torch 2.12.0 (here 2.13.0), thaw not there (here 0.1.0 source a)"
    )
    assert differences({"a": "1"}, {"a": "1", "b": "2"}) == "b 2 (here not there)"


def test_a_user_s_module_and_thaw_itself_are_compared_by_their_source(tmp_path: Path) -> None:
    words = []
    for number, text in enumerate(("SPEED = 1\n", "SPEED = 1\n", "SPEED = 2\n")):
        place = tmp_path / str(number)
        (place / "games").mkdir(parents=True)
        (place / "games" / "__init__.py").write_text("")
        (place / "games" / "inner.py").write_text(text)
        (place / "alone.py").write_text(text)
        words.append(code_there(place, "games", "alone", "games.inner", "nowhere.at_all"))
    assert words[0] == words[1] != words[2]
    # This process has none of the four, and the same thaw.
    assert [word.split()[0] for word in words[0].split(", ")] == [
        "games", "alone", "games.inner", "nowhere.at_all",
    ]  # fmt: skip
    assert "nowhere.at_all not there" in words[0]


def test_the_modules_of_a_suite_are_those_that_its_runs_import() -> None:
    transfer = Transfer(source=Flavor("gym/games:Maze-v0"), target=Flavor("gym/more.games:Maze-v1"))
    plain = Transfer(source=Flavor("gym/CartPole-v1"), target=Flavor("catch@large_ball"))
    suite = Suite(
        name="own",
        transfers=(transfer, plain),
        pretrain_steps=1,
        transfer_steps=1,
        agent=AgentConfig(embedding="nets:small", head="heads:wide"),
    )
    assert modules_of(suite) == ("nets", "heads", "games", "more.games")
