"""Imported once by the server that forks the runs of a suite: what each would else do again."""

import thaw.envs.catch
import thaw.experiment.run_process
from thaw.training.machine import describe_software

__all__ = ["thaw"]

describe_software()
