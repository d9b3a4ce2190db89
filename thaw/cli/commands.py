"""The commands of the command line, in the order of the help."""

from __future__ import annotations

from thaw.cli.benchmark import bench
from thaw.cli.environments import flavors, gallery
from thaw.cli.export import export
from thaw.cli.imports import import_
from thaw.cli.job_array import run_one
from thaw.cli.parsing import Commands
from thaw.cli.publish import publish
from thaw.cli.reports import report
from thaw.cli.rules import rules
from thaw.cli.runs import evaluate, record, train, transfer
from thaw.cli.scores import scores
from thaw.cli.suites import plan, run, status, watch

COMMANDS: Commands = {
    "run": run,
    "plan": plan,
    "run-one": run_one,
    "status": status,
    "watch": watch,
    "report": report,
    "scores": scores,
    "publish": publish,
    "export": export,
    "import": import_,
    "train": train,
    "transfer": transfer,
    "evaluate": evaluate,
    "record": record,
    "rules": rules,
    "flavors": flavors,
    "gallery": gallery,
    "bench": bench,
}
