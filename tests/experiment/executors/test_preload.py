"""What the server of a suite's runs imports, so that no run has to."""

import json
import os
import subprocess
import sys
from pathlib import Path

ONE_RUN = """\
import json, sys
import thaw.experiment.executors.preload
before = set(sys.modules)
from pathlib import Path
from tests.support.small_runs import RUNTIME, SPEC
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run
execute_run(SPEC, RunFolder(Path(sys.argv[1])), RUNTIME)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_run_of_a_suite_imports_no_library(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-c", ONE_RUN, str(tmp_path / "run")],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    imported = json.loads(done.stdout.splitlines()[-1])
    others = [name for name in imported if name.split(".")[0] not in ("tests", "thaw")]
    assert len(others) < 10, others  # a library is tens of modules; sympy is 490
