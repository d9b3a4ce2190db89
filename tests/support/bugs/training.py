"""Planted bugs of ``thaw/training/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a head with dropout acts in training mode where the actor's embeddings are learned from",
        "policy/modes.py",
        "depends_on_mode(policy.embedding) or depends_on_mode(policy.head)",
        "depends_on_mode(policy.embedding)",
        "training/test_one_pass.py",
        "two_passes",
    ),
    Bug(
        "dropout draws from whatever state torch's generator has",
        "impala/learner.py",
        "if self.noise_seed is not None:",
        "if False:",
        "training/test_noise.py",
        "unbroken",
    ),
    Bug(
        "dropout drops the same in every update",
        "impala/learner.py",
        "torch.manual_seed(self.noise_seed + self.num_updates)",
        "torch.manual_seed(self.noise_seed)",
        "training/test_noise.py",
        "other_noise",
    ),
    Bug(
        "the overlapped actor gets its weights one update late",
        "training/clocks.py",
        "        update = learn(self, self.learner, self.ready, episodes, policy_lag_updates)\n"
        "        update.episodes.extend(collecting.result())\n        self.stream.join()\n"
        "        synchronize(self.acting_policy, self.learner.policy)\n",
        "        newest = copy.deepcopy(self.learner.policy)\n"
        "        update = learn(self, self.learner, self.ready, episodes, policy_lag_updates)\n"
        "        update.episodes.extend(collecting.result())\n        self.stream.join()\n"
        "        synchronize(self.acting_policy, newest)\n",
        "training/test_clocks.py",
        "exactly_one_update",
    ),
    Bug(
        "the overlapped clock waits for the actor before it learns",
        "training/clocks.py",
        "        collecting = self.thread.submit(self.collect, self.spare, self.stream.mark())\n",
        "        collecting = self.thread.submit(self.collect, self.spare, self.stream.mark())\n"
        "        collecting.result()\n",
        "training/test_clocks.py",
        "same_time",
    ),
    Bug(
        "the policy lag is counted from after the update",
        "training/asynchronous.py",
        "lags = self.learner.num_updates - self.versions",
        "lags = self.learner.num_updates + 1 - self.versions",
        "training/test_asynchronous.py",
        "version or lag",
    ),
    Bug(
        "unrolls that do not fit into a batch are dropped",
        "training/asynchronous.py",
        "            if self.num_used == num_columns:\n",
        "            if column == self.num_envs or self.num_used == num_columns:\n",
        "training/test_asynchronous.py",
        "lost",
    ),
    Bug(
        "a resumed run forgets the optimizer's averages",
        "training/state.py",
        'learner.load_state_tensors(\n                below("optimizer/", tensors),',
        "learner.load_state_tensors(\n                {},",
        "training/test_state.py",
        "stopped_and_resumed and pieces1",
    ),
    Bug(
        "an evaluation that was broken off stays in the log",
        "training/run.py",
        "                folder.episodes.cut(0)  # of an evaluation that was interrupted\n",
        "",
        "training/test_progress.py",
        "logged_twice",
    ),
    Bug(
        "a loss that is nan goes unnoticed until the weights are saved",
        "training/run.py",
        "        state.health.take(update.metrics)\n",
        "",
        "training/test_not_finite.py",
        "loss_that_is_nan",
    ),
    Bug(
        "weights that are infinite are saved",
        "training/state.py",
        "        self.health.check()\n",
        "",
        "training/test_not_finite.py",
        "overflow",
    ),
    Bug(
        "a run that goes on chooses its precision again",
        "training/run.py",
        "spec = as_begun(msgspec.structs.replace(spec, agent=with_checksum(spec.agent)), folder)",
        "spec = msgspec.structs.replace(spec, agent=with_checksum(spec.agent))",
        "policy/test_precision.py",
        "writes_down",
    ),
    Bug(
        "all groups of environments play the same games",
        "training/build.py",
        'f"{stream}, group {g}" for g in',
        "stream for g in",
        "training/test_build.py",
        "group",
    ),
    Bug(
        "a benchmark's actors do not value truncated steps",
        "training/build.py",
        "                    config=spec.agent,\n",
        "",
        "bench/test_bench.py",
        "assembled",
    ),
    Bug(
        "a rule's change leaves lockstep with the shortcut that it had",
        "training/clocks.py",
        "        if self.learner.advance(self.learned_steps):\n            self.arrange()\n",
        "        self.learner.advance(self.learned_steps)\n",
        "training/test_schedules.py",
        "shortcuts or bitwise",
    ),
    Bug(
        "a rule's change lets overlapped learn from the embeddings of older weights",
        "training/clocks.py",
        "all(map(policy.embedding_frozen_at, (acted_steps, learned_steps)))",
        "policy.embedding_frozen_at(learned_steps)",
        "training/test_schedules.py",
        "shortcuts",
    ),
    Bug(
        "a rule's resumed run forgets that a part has begun to train",
        "training/state.py",
        "                steps,\n",
        "                0,\n",
        "training/test_schedules.py",
        "stopped",
    ),
    Bug(
        "a rule's teacher forgets its state when the run is resumed",
        "training/state.py",
        '                teacher.state.copy_(tensors["teacher/state"])\n',
        "                pass\n",
        "training/test_schedules.py",
        "stopped and teacher",
    ),
    Bug(
        "another policy in the place of an imported one is taken",
        "training/run.py",
        "if spec.source is None and spec.source_hash not in (None, hash_of(file)):",
        "if False:",
        "experiment/test_source_checkpoint.py",
        "noticed_by_its_run",
    ),
    Bug(
        "a milestone is kept one update too early",
        "training/run.py",
        "milestones[0] <= clock.learned_steps:",
        "milestones[0] <= clock.learned_steps + batch_steps:",
        "training/test_milestones.py",
        "policy_of_its_step",
    ),
)
