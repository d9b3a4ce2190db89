"""What the tests of commands share: a trained policy, and a folder full of wrong files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def pretrained(finished: Path) -> Path:
    return finished / "runs/catch/pretrain/seed0"


@pytest.fixture
def littered(tmp_path: Path, pretrained: Path, tiny: Path) -> Path:
    """A working folder full of things that are not what a command wants."""
    del tiny
    (tmp_path / "a_file").write_text("text")
    (tmp_path / "empty").touch()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").write_text("years of work")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "good.csv").write_text("target,condition,seed,mean_return\ncatch,scratch,0,1\n")
    (tmp_path / "bad.csv").write_text("flavor,condition,seed,mean_return\ncatch,scratch,0,1\n")
    (tmp_path / "word.csv").write_text("target,condition,seed,mean_return\ncatch,scratch,first,1\n")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/policy.safetensors").write_bytes(b"junk")
    (tmp_path / "alien").mkdir()
    save_file({"w": torch.zeros(2)}, tmp_path / "alien/policy.safetensors")
    # A checkpoint whose description and tensors do not go together.
    source = (pretrained / "checkpoint/policy.safetensors").read_bytes()
    (tmp_path / "bent").mkdir()
    bent = source.replace(b'\\"num_actions\\": 54', b'\\"num_actions\\": 55')
    assert bent != source
    (tmp_path / "bent/policy.safetensors").write_bytes(bent)
    return tmp_path
