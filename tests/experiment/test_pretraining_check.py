"""`thaw run` says as soon as it can that pretraining has learned nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, Say

BLIND = (
    "--set", "seeds=3", "--set", "conditions=[random, scratch, freeze_all]",
    "--set", "pretrain_steps=40", "--set", "transfer_steps=40",
    "--set", "evaluation.score=evaluation",
)  # fmt: skip
"""Too short to learn anything."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blind") / "tiny.yaml"
    path.write_text(TINY)
    return path


def test_it_warns_once_and_before_the_transfers(suite: Path, tmp_path: Path, say: Say) -> None:
    spoken = say("run", suite, "--out", tmp_path / "out", *BLIND, "--workers", "1")
    assert spoken.status == 0
    lines = spoken.err.splitlines()
    warnings = [n for n, line in enumerate(lines) if line.startswith("warning: Pretraining on")]
    assert len(warnings) == 1
    assert "the random policy" in lines[warnings[0]]
    assert "docs/environments.md" in lines[warnings[0]]
    trained = [n for n, line in enumerate(lines) if "] catch@large_ball/scratch/" in line]
    assert len(trained) == 3
    assert warnings[0] < min(trained)

    again = say("run", suite, "--out", tmp_path / "out", *BLIND)
    assert again.status == 0
    assert "warning: Pretraining" not in again.err


def test_a_run_without_a_score_is_named_and_does_not_spoil_the_report(
    suite: Path, tmp_path: Path, say: Say
) -> None:
    short = ["--set", "conditions=[random, scratch]", "--set", "transfer_steps=20"]
    spoken = say("run", suite, "--out", tmp_path / "out", *short)
    assert spoken.status == 1
    named = "catch@large_ball/scratch/seed0 is left out: no training episode ended within its "
    assert named in spoken.out + spoken.err
    assert (tmp_path / "out" / "report" / "index.html").is_file()
