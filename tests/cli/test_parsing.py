"""What tyro refuses is one line that says what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Say
from refusals import check_refused_and_unwritten

WRONG: list[tuple[str, list[str]]] = [
    ("", ["{run, plan, run-one, status, watch, report", "`thaw --help`"]),
    ("rnu tiny.yaml", ["unknown command 'rnu'; did you mean 'run'? Allowed: run, plan"]),
    ("run", ["thaw run needs SUITE, --out DIR; see `thaw run --help`"]),
    ("run tiny.yaml", ["thaw run needs --out DIR"]),
    ("run-one", ["thaw run-one needs DIR; see"]),
    ("record moved", ["thaw record needs FLAVOR, --out FILE.mp4; see `thaw record --help`"]),
    ("record moved catch", ["thaw record needs --out FILE.mp4; see"]),
    ("gallery catch-quick", ["thaw gallery needs --out FILE.png; see"]),
    ("scores", ["thaw scores needs --out FILE.csv; see"]),
    ("evaluate", ["thaw evaluate needs CHECKPOINT|random, FLAVOR; see"]),
    ("run tiny.yaml --out", ["--out", "`thaw run --help`"]),
    (
        "run tiny.yaml --out x --seedz 2",
        ["unknown option '--seedz' of thaw run; did you mean '--seeds'? Allowed: --out, --set"],
    ),
    ("plan tiny.yaml --jsn", ["'--jsn' of thaw plan; did you mean '--json'?"]),
    ("run tiny.yaml --out x --seeds two", ["--seeds: 'two' is not a whole number"]),
    ("run tiny.yaml --out x --executor slurm", ["'slurm'", "local"]),
    ("train catch --out x", ["--steps"]),
    ("train catch --out x --steps 1e5", ["--steps: '1e5' is not a whole number"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    check_refused_and_unwritten(line, said, say, littered, finished)
