"""A stand-in for SLURM's sbatch: it runs the tasks of an array at once, one after the other.

It reads the options that SLURM would read from the script, numbers its jobs in a file, refuses a
dependency on a job that did not end well, and passes on what the task asks of scontrol.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def stand_in(place: Path, **programs: str) -> dict[str, str]:
    """Make sbatch and scontrol.

    Args:
        place: Where they note jobs and what is to be queued again; they are in ``bin`` there.
        programs: More programs by name, in the language of the shell.

    Returns:
        The variables with which they are found.
    """
    sbatch = f'exec {sys.executable} {__file__} "$@"'
    scontrol = 'echo "$2" >> "$STAND_IN/requeued"'
    (place / "bin").mkdir()
    for name, body in {"sbatch": sbatch, "scontrol": scontrol, **programs}.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (place / "bin" / name).chmod(0o755)
    path = f"{place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"STAND_IN": str(place), "PATH": path, "OMP_NUM_THREADS": "1"}


def main() -> None:
    place = Path(os.environ["STAND_IN"])
    options = [word for word in sys.argv[1:-1] if word.startswith("--")]
    script = Path(sys.argv[-1])
    ended = dict(line.split() for line in _lines(place / "jobs"))
    for option in options:
        if option.startswith("--dependency=afterok:"):
            for job in option.split(":")[1:]:
                if ended.get(job) != "0":
                    sys.exit(f"job {job} did not end well")
    job = str(100 + len(ended))
    text = script.read_text()
    found = re.search(r"^#SBATCH --array=(\d+)-(\d+)$", text, re.MULTILINE)
    assert found is not None, text
    worst = 0
    for task in range(int(found[1]), int(found[2]) + 1):
        environment = os.environ | {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(task)}
        log = re.search(r"^#SBATCH --output=(.*)$", text, re.MULTILINE)
        assert log is not None
        name = log[1].replace("%A", job).replace("%a", str(task))
        for _ in range(5):
            with Path(name).open("a") as output:
                code = subprocess.run(
                    ["sh", str(script)], env=environment, stdout=output, stderr=output, check=False
                ).returncode
            if f"{job}_{task}" not in _lines(place / "requeued"):
                break
            (place / "requeued").unlink()
        worst = max(worst, code)
    with (place / "jobs").open("a") as jobs:
        jobs.write(f"{job} {worst}\n")
    print(job)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
