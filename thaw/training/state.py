"""Save a run so that it resumes exactly; frozen parts are checked at every save."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from thaw.config.errors import InputError
from thaw.files.checkpoint import (
    load_tensors,
    load_tensors_into,
    load_training_state,
    save_checkpoint,
    save_milestone,
)
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.training.clocks import Clock, below, named
from thaw.training.health import Health
from thaw.training.progress import RunLog


class TrainingState(NamedTuple):
    """Everything that changes while a run trains."""

    policy: Policy
    learner: Learner
    clock: Clock
    log: RunLog
    health: Health

    def save(self, folder: RunFolder) -> None:
        """Check the frozen parts, then save everything that a resumed run needs.

        Raises:
            NotFinite: A loss, gradient norm or weight is nan or infinite; nothing was saved.
            RuntimeError: A frozen tensor changed.
            WriteFailed: The disk is full, for example; the old checkpoint is intact.
        """
        self._check()
        optimizer = named("optimizer/", self.learner.state_tensors())
        counters: dict[str, object] = {
            "num_updates": self.learner.num_updates,
            "learned_steps": self.clock.learned_steps,
            **self.log.counters(),
        }
        if digests := self.learner.frozen.digests():
            counters["frozen"] = digests
        tensors = optimizer | self.clock.get_state()
        if (teacher := self.learner.teacher) is not None:
            tensors["teacher/state"] = teacher.state
        save_checkpoint(folder, self.policy, tensors, counters)

    def keep(self, folder: RunFolder, step: int) -> None:
        """Keep the policy as the milestone of a step.

        Raises:
            NotFinite, RuntimeError, WriteFailed: As in :meth:`save`.
        """
        self._check()
        save_milestone(folder, self.policy, step)

    def _check(self) -> None:
        """Check what is about to be saved."""
        self.health.check()
        self.learner.frozen.check()

    def resume(self, folder: RunFolder, checkpoint: Path | None) -> None:
        """Continue from a checkpoint of the folder; drop what was logged after it.

        Args:
            folder: The run's.
            checkpoint: Of :meth:`RunFolder.find_checkpoint`; None starts from the beginning.

        Raises:
            Damaged: A file of a checkpoint without checksums is missing or broken.
            RuntimeError: A frozen tensor differs.
        """
        if checkpoint is None:
            self.log.restart()
            folder.milestones.drop_after(0)
            return
        try:
            tensors, counters = load_training_state(checkpoint)
            weights = load_tensors(checkpoint / POLICY_FILE)
            load_tensors_into(self.policy, weights, str(checkpoint / POLICY_FILE))
        except InputError as error:
            raise folder.cannot_resume(str(error)) from None
        try:
            steps = self.clock.learned_steps = counters["learned_steps"]
            self.learner.load_state_tensors(
                below("optimizer/", tensors),
                counters["num_updates"],
                steps,
                counters.get("frozen"),
            )
            if (teacher := self.learner.teacher) is not None:
                teacher.state.copy_(tensors["teacher/state"])
            self.clock.set_state(tensors)
            self.log.restore(counters, self.clock.learned_steps)
            folder.milestones.drop_after(self.clock.learned_steps)
        except KeyError as error:
            raise folder.cannot_resume(f"{checkpoint} is damaged: it has no {error}") from error
