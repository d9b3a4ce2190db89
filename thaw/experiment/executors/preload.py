"""Imported once by the server that forks the runs of a suite: what each would else do again."""

import numpy.ma  # noqa: F401 - numpy imports it at the first call of unique
import torch.fx.experimental.symbolic_shapes  # noqa: F401 - torch, at the first backward pass

import thaw.envs.catch
import thaw.experiment.executors.run_process  # noqa: F401 - imported for the processes that are forked
from thaw.training.machine import describe_software

describe_software()
