"""thaw rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Say
from refusals import check_refused_and_unwritten

from thaw.config.named_rules import NAMED_RULES
from thaw.config.update_rule import UpdateRule
from thaw.files.run_folder import RunFolder


def test_rules_are_listed_with_their_text(say: Say) -> None:
    lines = say("rules").out.splitlines()
    for name in NAMED_RULES:
        assert lines[lines.index(name) + 1] == f"    {UpdateRule(name)}"
    assert set(json.loads(say("rules", "--json").out)) == set(NAMED_RULES)


def test_one_rule_is_shown_with_its_steps(say: Say) -> None:
    shown = say("rules", "critic_warm_up", "--steps", "500").out.splitlines()
    assert shown[0] == (
        "embedding=source:trained@50,head=source:trained@50,head.value=random:trained"
    )
    assert "RLinf" in shown[-1]
    own = "head=source:trained,embedding=source:frozen"
    assert say("rules", own).out == "embedding=source:frozen,head=source:trained\n"
    assert json.loads(say("rules", "l2_sp", "--json").out)["text"] == UpdateRule("l2_sp")


def test_the_table_of_a_flavor_and_of_a_checkpoint(say: Say, pretrained: Path) -> None:
    flags = ("--set", "agent.embedding=mlp")
    found = say("rules", "last_block_and_head", "--for", "gym/CartPole-v1", *flags).out
    rows = [line.split() for line in found.splitlines() if line.startswith(("embed", "head "))]
    assert [row[0] for row in rows[1:]] == [
        "embedding.linear0", "embedding.linear1", "embedding.linear2", "head",
    ]  # fmt: skip
    assert [row[3] for row in rows[1:]] == ["never", "never", "always", "always"]
    parts = json.loads(say("rules", "critic_warm_up", "--for", str(pretrained), "--json").out)
    trains = {row["part"]: row["trains"] for row in parts["parts"]}
    assert trains["head.value"] == "always"
    assert trains["embedding"] == "from 10% of the run on"


def test_every_run_leaves_the_table_of_its_rule(finished: Path) -> None:
    for run in ("catch@large_ball/freeze_embedding/seed0", "catch/pretrain/seed0"):
        folder = RunFolder(finished / "runs" / run)
        rule = folder.spec().update_rule
        assert rule is not None
        first, _, *lines = (folder.path / "parts.txt").read_text().splitlines()
        assert first == rule
        assert lines[0].split() == ["part", "parameters", "weights", "trains", "rate", "pull"]
        assert [line.split()[0] for line in lines[1:3]] == ["embedding", "head"]
        embedding = rule.of("embedding.x")
        assert lines[1].split()[2:4] == [
            embedding.weights, "always" if embedding.trains else "never",
        ]  # fmt: skip


WRONG: list[tuple[str, list[str]]] = [
    ("rules freeze_al", ["did you mean 'freeze_all'?"]),
    ("rules --for catch", ["--for, --steps and --set need a RULE"]),
    ("rules update_all --set agent.embedding=mlp", ["--set needs --for FLAVOR"]),
    ("rules norms_only --for catch", ["no normalization layers"]),
    ("rules update_all --for catchy", ["did you mean 'catch'?"]),
    ("rules update_all --for alien", ["was not written by thaw"]),
    ("rules embedding=source:trained,head=source:trained,head.x=source:frozen --for catch",
     ["names 'head.x', which this policy does not have"]),
    ("rules embedding=source:trained@9,head=source:trained --steps 9",
     ["changes at step 9, but the run has 9 steps"]),
    ("rules critic_warm_up --for catch --steps 0", ["--steps is 0; it must be at least 1"]),
    ("transfer PRETRAINED catch@large_ball --steps 9 --out new "
     "--rule embedding=source:trained@9,head=source:trained",
     ["changes at step 9, but the run has 9 steps"]),
    ("transfer PRETRAINED catch@large_ball --steps 9 --out new --rule norms_only",
     ["no normalization layers"]),
    ("transfer PRETRAINED catch@large_ball --steps 9 --out new "
     "--rule embedding=source:trained:lr=0,head=source:trained", ["say frozen"]),
    ("transfer PRETRAINED catch@large_ball --steps 9 --out new "
     "--rule embedding=random:trained:pull=1,head=source:trained", ["pull draws to the source"]),
    ("run catch-quick --out new --set conditions=[norms_only]", ["no normalization layers"]),
    ("plan catch-quick --set conditions=[mine] --set "
     "update_rules.mine=embedding=source:trained@9000000,head=source:trained",
     ["changes at step 9,000,000, but the run has"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    check_refused_and_unwritten(line, said, say, littered, finished)
