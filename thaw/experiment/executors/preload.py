"""Imported once by the server that forks the runs of a suite: what each would else do again."""

import thaw.envs.catch
import thaw.experiment.executors.run_process  # noqa: F401 - imported for the processes that are forked
from thaw.training.machine import describe_software

describe_software()
