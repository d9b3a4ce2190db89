"""Save a run so that it resumes exactly; frozen parts are checked at every save."""

from __future__ import annotations

from typing import NamedTuple

from thaw.files.checkpoint import (
    find_policy,
    load_tensors,
    load_tensors_into,
    load_training_state,
    save_checkpoint,
)
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.policy.update_rules import FrozenParts
from thaw.training.clocks import Clock, below, named
from thaw.training.progress import RunLog


class TrainingState(NamedTuple):
    """Everything that changes while a run trains."""

    policy: Policy
    frozen: FrozenParts
    learner: Learner
    clock: Clock
    log: RunLog

    def save(self, folder: RunFolder) -> None:
        """Check the frozen parts, then save everything that a resumed run needs.

        Raises:
            RuntimeError: A frozen tensor changed.
            WriteFailed: The disk is full, for example; the old checkpoint is intact.
        """
        self.frozen.check()
        optimizer = named("optimizer/", self.learner.state_tensors())
        counters = {
            "num_updates": self.learner.num_updates,
            "learned_steps": self.clock.learned_steps,
            **self.log.counters(),
        }
        save_checkpoint(folder, self.policy, optimizer | self.clock.get_state(), counters)

    def resume(self, folder: RunFolder) -> None:
        """Continue from the folder's checkpoint, if there is one; drop rows logged after it.

        Raises:
            InputError: A file of the checkpoint is missing or broken.
            RuntimeError: A frozen tensor differs.
        """
        checkpoint = folder.find_checkpoint()
        if checkpoint is None:
            self.log.restart()
            return
        tensors, counters = load_training_state(checkpoint)
        load_tensors_into(self.policy, load_tensors(find_policy(checkpoint)), str(checkpoint))
        self.frozen.check()
        self.learner.load_state_tensors(below("optimizer/", tensors), counters["num_updates"])
        self.clock.learned_steps = counters["learned_steps"]
        self.clock.set_state(tensors)
        self.log.restore(counters, self.clock.learned_steps)
