"""Plants known bugs, one at a time; the tests must fail each time: `make planted-bugs`.

Each bug is one replacement in a copy of the package; the repository itself is never touched. A
bug that no test notices means that a test cannot fail, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent

TESTS_FAILED = 1
"""pytest's exit status; an error while collecting, or no test at all, has another one."""

GUARD = """
from pathlib import Path

import thaw

home = Path(__file__).resolve().parent
assert Path(thaw.__file__).is_relative_to(home), f"{thaw.__file__} is not the copy in {home}"
"""
"""A conftest.py for the copy: an editable install must not slip in the repository's own code."""


class Bug(NamedTuple):
    """One replacement, and the tests that must catch it."""

    name: str
    file: str
    """Below ``thaw/``."""
    old: str
    """Occurs exactly once."""
    new: str
    tests: str
    """Files below ``tests/``."""
    keyword: str = ""
    """Selects tests in those files, as pytest's ``-k``."""


BUGS = (
    Bug(
        "rho and c clips are swapped",
        "impala/losses.py",
        "        rho_bar=config.rho_bar,\n        c_bar=config.c_bar,\n",
        "        rho_bar=config.c_bar,\n        c_bar=config.rho_bar,\n",
        "impala/test_losses.py",
    ),
    Bug(
        "the clip of rho is applied to the trace coefficients",
        "impala/vtrace.py",
        "(ratios if c_bar is None else ratios.clamp(max=c_bar))",
        "rhos",
        "impala/test_vtrace.py",
    ),
    Bug(
        "lambda is dropped",
        "impala/vtrace.py",
        "cs = lambda_ * (",
        "cs = (",
        "impala/test_vtrace.py",
    ),
    Bug(
        "the discount is ignored in the recursion",
        "impala/vtrace.py",
        "discounted_cs = discounts * cs",
        "discounted_cs = cs",
        "impala/test_vtrace.py",
    ),
    Bug(
        "the policy gradient uses v_t instead of v_t+1",
        "impala/vtrace.py",
        "next_vs = torch.cat((vs[1:], bootstrap_value.unsqueeze(0)))",
        "next_vs = vs",
        "impala/test_vtrace.py",
    ),
    Bug(
        "losses are means over time and batch",
        "impala/losses.py",
        "baseline = (baseline_loss(values, targets.vs) * valid).sum()",
        "baseline = (baseline_loss(values, targets.vs) * valid).mean()",
        "impala/test_losses.py",
    ),
    Bug(
        "a gradient reaches the advantages",
        "impala/losses.py",
        "* advantages.detach()",
        "* advantages",
        "impala/test_losses.py",
    ),
    Bug(
        "an auto-reset is learned from",
        "impala/losses.py",
        "valid = trajectory.valid.to(values.dtype)",
        "valid = torch.ones_like(values)",
        "impala/test_losses.py acting/test_actor.py",
        "reset",
    ),
    Bug(
        "an auto-reset row is reported as a step",
        "acting/actor.py",
        "        valid = ~self._resetting\n",
        "        valid = np.ones_like(self._resetting)\n",
        "acting/test_actor.py acting/test_episodes.py",
        "reset or counted",
    ),
    Bug(
        "an auto-reset row starts the episode",
        "acting/actor.py",
        "self._first, self._resetting = self._resetting, done",
        "self._first, self._resetting = done, done",
        "acting/test_unroll.py acting/test_actor.py",
        "belongs or mode",
    ),
    Bug(
        "a truncated episode is valued by the next episode's first observation",
        "acting/actor.py",
        'final[index] = torch.as_tensor(info["final_obs"][index])',
        "pass",
        "acting/test_actor.py",
        "truncated",
    ),
    Bug(
        "the head sees the action before the last one",
        "acting/actor.py",
        "        self._last_actions = actions\n        self._last_rewards = rewards\n",
        "        self._last_actions = getattr(self, '_now', actions)\n"
        "        self._now = actions\n        self._last_rewards = rewards\n",
        "acting/test_unroll.py",
        "belongs",
    ),
    Bug(
        "rewards are shifted by one step against the actions",
        "acting/unroll.py",
        "trajectory.rewards[t] = torch.from_numpy(decision.rewards)",
        "trajectory.rewards[t] = entry.last_rewards[0]",
        "acting/test_unroll.py",
        "belongs",
    ),
    Bug(
        "the stored LSTM state is that after the unroll",
        "acting/unroll.py",
        "    return finished\n",
        "    trajectory.state.copy_(actor.state)\n    return finished\n",
        "acting/test_unroll.py",
        "stored or logits or lockstep",
    ),
    Bug(
        "the LSTM's state is not reset where an episode starts",
        "policy/lstm.py",
        "            hidden = torch.mul(hidden, keep[t], out=hiddens_before[t])\n",
        "            hidden = torch.mul(hidden, 1.0, out=hiddens_before[t])\n",
        "policy/test_lstm.py",
        "resets or gradient",
    ),
    Bug(
        "the LSTM's gradient flows back into the episode before",
        "policy/lstm.py",
        "hidden_grad = (grad_t @ weight_hidden) * keep[t]",
        "hidden_grad = grad_t @ weight_hidden",
        "policy/test_lstm.py",
        "gradient",
    ),
    Bug(
        "the last action is not masked where an episode starts",
        "policy/head.py",
        "F.one_hot(last_actions, self.num_actions) * keep",
        "F.one_hot(last_actions, self.num_actions).to(keep.dtype)",
        "policy/test_head.py",
        "head or before",
    ),
    Bug(
        "a frozen parameter is left in the optimizer",
        "policy/update_rules.py",
        "for name, p in policy.named_parameters() if name not in policy.frozen}",
        "for name, p in policy.named_parameters()}",
        "policy/test_update_rules.py",
        "bitwise",
    ),
    Bug(
        "a frozen parameter still gets a gradient",
        "policy/update_rules.py",
        "                tensor.requires_grad_(False)\n",
        "",
        "policy/test_update_rules.py",
        "bitwise",
    ),
    Bug(
        "no gradient flows through a frozen head",
        "policy/policy.py",
        "output = PolicyOutput(*self.head(embeddings, first,",
        "embeddings = embeddings if 'head.fc.bias' not in self.frozen else embeddings.detach()\n"
        "        output = PolicyOutput(*self.head(embeddings, first,",
        "policy/test_update_rules.py",
        "flows or bitwise",
    ),
    Bug(
        "the frozen part counts in the norm clip",
        "impala/learner.py",
        "clip_grad_norm_(self.parameters.values(), ",
        "clip_grad_norm_(self.policy.parameters(), ",
        "impala/test_learner.py",
        "clip or norm",
    ),
    Bug(
        "a frozen BatchNorm stays in training mode",
        "policy/policy.py",
        "                module.eval()\n",
        "                pass\n",
        "policy/test_policy.py policy/test_update_rules.py",
        "statistics or normalization or frozen_module",
    ),
    Bug(
        "the learning rate does not fall",
        "impala/learner.py",
        "learning_rate = self.learning_rate(steps)",
        "learning_rate = self.config.learning_rate",
        "impala/test_learner.py",
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
        "an asynchronous actor never gets new weights",
        "acting/remote/process.py",
        "tensor.copy_(torch.from_numpy(np.array(weights[name])))",
        "tensor.copy_(tensor)",
        "training/test_asynchronous.py",
        "arrive or version",
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
        "evaluation takes the first episodes that finish",
        "acting/evaluation.py",
        "            if quota[episode.environment] > 0:\n"
        "                quota[episode.environment] -= 1\n",
        "            if quota.any():\n                quota[quota.argmax()] -= 1\n",
        "acting/test_evaluation.py",
        "prefer or share",
    ),
    Bug(
        "the reward clip reaches the reports",
        "acting/actor.py",
        "rewards = np.where(valid, rewards, 0.0)",
        "rewards = np.where(valid, np.clip(rewards, -1, 1), 0.0)",
        "acting/test_episodes.py",
        "counted",
    ),
    Bug(
        "a resumed run forgets the state of its random numbers",
        "acting/actor.py",
        '        self.generator.set_state(state["generator"])\n',
        "",
        "acting/test_actor.py",
        "restored_actor",
    ),
    Bug(
        "a resumed run forgets the optimizer's averages",
        "training/state.py",
        'learner.load_state_tensors(below("optimizer/", tensors), counters["num_updates"])',
        'learner.num_updates = counters["num_updates"]',
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
        "a checkpoint is replaced by deleting it first",
        "files/run_folder.py",
        "                self.checkpoint.rename(old)\n",
        "                shutil.rmtree(self.checkpoint)\n",
        "files/test_checkpoint.py",
        "whole_checkpoint",
    ),
    Bug(
        "a checkpoint's checksums are not compared",
        "files/checksums.py",
        '            if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:\n',
        "            if False:\n",
        "training/test_damage.py",
        "damaged_checkpoint and flipped",
    ),
    Bug(
        "the checkpoint of before is deleted after a save",
        "files/run_folder.py",
        "            new.rename(self.checkpoint)\n",
        "            new.rename(self.checkpoint)\n            self._drop(old)\n",
        "files/test_checkpoint.py",
        "whole_checkpoint",
    ),
    Bug(
        "a log that is shorter than its checkpoint says passes",
        "files/csv_log.py",
        "        if self.size < size:\n",
        "        if False:\n",
        "files/test_checksums.py",
        "log_is_checked",
    ),
    Bug(
        "a rename does not reach the disk",
        "files/atomic.py",
        "            sync([folder])\n",
        "",
        "files/test_checksums.py",
        "reach_the_disk",
    ),
    Bug(
        "a reward that is nan is learned from",
        "acting/actor.py",
        '        check_finite("reward", rewards, self.num_steps)\n',
        "",
        "training/test_not_finite.py",
        "named_and_nothing",
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
        "a damaged run passes for a finished one",
        "experiment/suite_folder.py",
        '            return _Look(folder, "damaged", {}, ',
        '            return _Look(folder, "done", {}, ',
        "experiment/test_damaged_runs.py",
        "commands_say or pretraining_keeps",
    ),
    Bug(
        "a run's hash leaves out its agent",
        "config/run_spec.py",
        "return content_hash_of(to_plain(self))",
        "return content_hash_of(to_plain(self) | {'agent': 0})",
        "training/test_run.py",
        "hash",
    ),
    Bug(
        "Catch's paddle reaches one pixel too far",
        "envs/catch/rules.py",
        "    edge = np.int32(2 * knobs.paddle_half_width_px)\n",
        "    edge = np.int32(2 * knobs.paddle_half_width_px + 1)\n",
        "envs/catch/test_rules.py envs/catch/test_vector_env.py",
    ),
    Bug(
        "Catch's ball is kept inside the screen",
        "envs/catch/vector_env.py",
        "        self._ball_x[which] = ball_x\n",
        "        self._ball_x[which] = np.clip(ball_x, 10, 309)\n",
        "envs/catch/test_rules.py envs/catch/test_vector_env.py",
    ),
    Bug(
        "a ball drawn on a device leaves a trail",
        "envs/catch/pictures_torch.py",
        "        self._ball_pixel[which] = new_pixel\n",
        "",
        "envs/catch/test_pictures_torch.py",
    ),
    Bug(
        "the bootstrap's interval is one of 90 %",
        "report/statistics.py",
        "    tail = 100 * (1 - confidence) / 2\n",
        "    tail = 100 * (1 - confidence)\n",
        "report/test_statistics.py",
    ),
    Bug(
        "the bootstrap draws other numbers each time",
        "report/statistics.py",
        'return np.random.default_rng(int.from_bytes(digest[:8], "big"))',
        "return np.random.default_rng()",
        "report/test_statistics.py",
    ),
    Bug(
        "pooling without a gradient looks at one neighbor twice",
        "policy/layers.py",
        "        (maxima.narrow(axis, 1, num_even - 1), odd.narrow(axis, 0, num_even - 1)),\n",
        "        (maxima.narrow(axis, 0, num_even - 1), odd.narrow(axis, 0, num_even - 1)),\n",
        "policy/test_layers.py",
        "halving",
    ),
    Bug(
        "a run that goes on chooses its precision again",
        "training/run.py",
        "    spec = as_begun(spec, folder)\n",
        "    spec = msgspec.structs.replace(spec)\n",
        "policy/test_precision.py",
        "writes_down",
    ),
    Bug(
        "the processor is not asked whether it multiplies in bfloat16",
        "policy/precision.py",
        'bool(torch.cpu.get_capabilities().get("avx512_bf16", False))',
        "torch.cpu.is_available()",
        "policy/test_precision.py",
        "where_the_processor_has_it",
    ),
    Bug(
        "small networks use bfloat16 too",
        "policy/precision.py",
        "        and count_multiplications(agent, observation_shape) >= MIN_MULTIPLICATIONS\n",
        "        and count_multiplications(agent, observation_shape) > 0\n",
        "policy/test_precision.py",
        "only_large_convolutions",
    ),
    Bug(
        "the precision depends on the clock",
        "policy/precision.py",
        "        has_bfloat16(device)\n        and",
        '        __import__("time").perf_counter_ns() // 100 % 2 == 0\n        and',
        "policy/test_precision.py",
        "twenty_fresh_processes",
    ),
    Bug(
        "the learner of a GPU learns from the unroll while it is overwritten",
        "impala/learner.py",
        "            batch = self.batch = trajectory.copy_to(self.device)\n",
        "            batch = self.batch = trajectory\n",
        "impala/test_learner.py",
        "memory_of_its_own",
    ),
    Bug(
        "a bound that forgets the learning",
        "bench/present.py",
        "for part in parts], axis=0)",
        "for part in parts[:2]], axis=0)",
        "bench/test_bench.py",
        "within_rounds",
    ),
    Bug(
        "decisions that come too late are not counted",
        "envs/androidenv/device.py",
        "max(0, periods - 1)",
        "0",
        "envs/androidenv/test_stack.py",
        "too_late",
    ),
    Bug(
        "all actors use the first device",
        "envs/families.py",
        'options.get("first_device", 0) + first_environment',
        'options.get("first_device", 0)',
        "envs/androidenv/test_family.py",
        "separate_devices",
    ),
    Bug(
        "the options of a suite win over those in an address",
        "envs/options.py",
        "{**shared, **(variant or {}), **dict(flavor.options)}",
        "{**dict(flavor.options), **(variant or {}), **shared}",
        "envs/test_families.py",
        "address_wins",
    ),
    Bug(
        "every group of environments fills the first group's columns",
        "acting/collector.py",
        "trajectory.columns(group * self.group_size, (group + 1) * self.group_size)",
        "trajectory.columns(0, self.group_size)",
        "acting/test_collector.py",
    ),
    Bug(
        "a group counts only its own steps",
        "acting/collector.py",
        "step=int(steps_by_t[t])",
        "step=episode.step",
        "acting/test_collector.py",
    ),
    Bug(
        "an environment's seed is taken and ignored",
        "config/run_spec.py",
        "for name, reason in NOT_OPTIONS.items():",
        "for name, reason in ():",
        "config/test_run_spec.py",
        "run_says_itself",
    ),
    Bug(
        "a row that is being written counts as progress",
        "files/csv_log.py",
        r'.split(b"\n")[:-1]  # after',
        r'.rstrip(b"\n").split(b"\n")  # after',
        "experiment/test_watch.py",
        "newest_whole_row",
    ),
    Bug(
        "a watcher reports a failed run again and again",
        "experiment/watch.py",
        'status not in (seen[run.key], "waiting")',
        'status != "waiting"',
        "experiment/test_watch.py",
        "told_once",
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
        "a checkpoint has any function called",
        "files/checkpoint.py",
        "    if not trust_code:\n",
        "    if False:\n",
        "test_trust.py",
        "load_policy",
    ),
    Bug(
        "the environment of a checkpoint's run is made unasked",
        "experiment/opened_policy.py",
        "named = [*code_named_in(source.description.agent), *code_named_in(origin)]\n",
        "named = [*code_named_in(source.description.agent)]\n",
        "test_trust.py",
        "checkpoint_executes_nothing",
    ),
    Bug(
        "a suite file has everything executed",
        "experiment/suites.py",
        "    if _is_file(str(source)) and not trust_code:\n",
        "    if False:\n",
        "test_trust.py",
        "suite_file_executes_nothing",
    ),
    Bug(
        "memory is taken for whatever a policy file says",
        "files/checkpoint.py",
        '    with torch.device("meta"):\n',
        '    with torch.device("cpu"):\n',
        "test_trust.py",
        "hostile",
    ),
    Bug(
        "a flavor's option leads out of the folder",
        "experiment/plan.py",
        'options = _quoted(options, r"[%,/\\\\]").replace("&", ",")',
        'options = options.replace("&", ",")',
        "experiment/test_plan.py",
        "below_runs",
    ),
    Bug(
        "two flavors share a folder",
        "experiment/plan.py",
        'options = _quoted(options, r"[%,/\\\\]")',
        'options = _quoted(options, r"[%/\\\\]")',
        "experiment/test_plan.py",
        "never_share",
    ),
    Bug(
        "a suite does not pass a signal on to its runs",
        "experiment/processes.py",
        "        if self.stop.signum is not None:\n            self.stop_active()\n",
        "",
        "experiment/test_signals.py",
        "suite_stops_at_any_moment",
    ),
    Bug(
        "a run's process keeps the signals blocked",
        "experiment/run_process.py",
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)",
        "    pass",
        "experiment/test_signals.py",
        "suite_stops_at_any_moment",
    ),
    Bug(
        "signals are handled after the imports only",
        "cli/main.py",
        "    if arguments and arguments[0] in SAVING_COMMANDS:\n",
        "    if False:\n",
        "experiment/test_signals.py",
        "before_the_imports",
    ),
    Bug(
        "a stopped suite derives its tables first",
        "experiment/execute.py",
        "        if summary.stopped_by is None:",
        "        if True:",
        "experiment/test_signals.py",
        "suite_stops_at_any_moment",
    ),
    Bug(
        "a second signal does not kill a run that hangs",
        "experiment/processes.py",
        "        if self.stop.is_urgent:\n",
        "        if False:\n",
        "experiment/test_misbehaving.py",
        "second_signal_ends_a_suite",
    ),
    Bug(
        "a second signal does not end a training that hangs",
        "experiment/signals.py",
        "        elif now - self.since >= REPEAT_SECONDS:\n",
        "        elif False:\n",
        "experiment/test_misbehaving.py",
        "second_signal_ends_a_training",
    ),
    Bug(
        "a run that hangs is not ended",
        "experiment/processes.py",
        "            if silent_seconds > self.runtime.stall_seconds and",
        "            if False and",
        "experiment/test_misbehaving.py",
        "tried_twice",
    ),
    Bug(
        "a process that does not end after its run is waited for",
        "experiment/processes.py",
        "            elif time.monotonic() - active.left_at > EXIT_SECONDS:\n",
        "            elif False:\n",
        "experiment/test_misbehaving.py",
        "does_not_end_after_its_run",
    ),
    Bug(
        "an error's text is read as markup",
        "experiment/display.py",
        "self.bars.print(line, markup=False,",
        "self.bars.print(line, markup=True,",
        "experiment/test_misbehaving.py",
        "looks_like_markup",
    ),
    Bug(
        "what an environment prints goes to the results",
        "cli/output.py",
        "            os.dup2(2, 1)\n",
        "            pass\n",
        "experiment/test_misbehaving.py",
        "prints_stays_out",
    ),
    Bug(
        "thaw watch does not see that thaw run has ended",
        "experiment/watch.py",
        "    except BlockingIOError:\n        return True\n    return False\n",
        "    except BlockingIOError:\n        return True\n    return True\n",
        "experiment/test_watch.py",
        "runs_are_left",
    ),
    Bug(
        "a Ray that thaw started listens on all interfaces",
        "acting/remote/ray_session.py",
        "    constants.ENABLE_RAY_CLUSTER = False\n",
        "    constants.ENABLE_RAY_CLUSTER = True\n",
        "acting/remote/test_ray_session.py",
        "alone",
    ),
    Bug(
        "the death of Ray is not noticed before Ray ends the run",
        "acting/remote/ray_session.py",
        "        if is_dead:\n",
        "        if False:\n",
        "acting/remote/test_ray_session.py",
        "death",
    ),
    Bug(
        "the mean square of RMSProp starts at 0",
        "impala/optimizers.py",
        "torch.ones_like(parameter)",
        "torch.zeros_like(parameter)",
        "impala/test_learner.py",
        "by_hand or first_step",
    ),
    Bug(
        "epsilon is outside of the root",
        "impala/optimizers.py",
        "        steps: Any = torch._foreach_add(squares, self.eps)\n"
        "        torch._foreach_rsqrt_(steps)\n",
        "        steps: Any = torch._foreach_sqrt(squares)\n"
        "        torch._foreach_add_(steps, self.eps)\n"
        "        torch._foreach_reciprocal_(steps)\n",
        "impala/test_learner.py",
        "by_hand",
    ),
    Bug(
        "one pass begins with the embeddings of the old weights",
        "acting/actor.py",
        "            self.portions = []\n            self._embeddings = None\n",
        "            self.portions = [self._embed_with_graph()] if self.portions else []\n",
        "training/test_clocks.py",
        "one_pass",
    ),
    Bug(
        "one pass keeps observations that the environment overwrites",
        "acting/actor.py",
        "self._observations.clone().unsqueeze(0)",
        "self._observations.unsqueeze(0)",
        "training/test_clocks.py",
        "one_pass",
    ),
    Bug(
        "the groups' gradients are exchanged",
        "trajectory.py",
        "gradient.chunk(len(self.portions), dim=1)",
        "gradient.chunk(len(self.portions), dim=1)[::-1]",
        "training/test_clocks.py",
        "one_pass",
    ),
    Bug(
        "dropout learns from the embeddings of acting",
        "policy/modes.py",
        "    return any(_reads_training(type(part)) for part in module.modules())\n",
        "    return False\n",
        "policy/test_modes.py training/test_clocks.py",
        "mode or differently",
    ),
    Bug(
        "a suite with a damaged log is all done",
        "cli/suites.py",
        "    return 1 if summary.failed or reported.left_out else 0\n",
        "    return 1 if summary.failed else 0\n",
        "experiment/test_damaged_runs.py",
        "fails_the_suite",
    ),
    Bug(
        "a folder of an earlier thaw passes for an edited one",
        "files/run_folder.py",
        "        if content_hash_of(plain) != content_hash:\n",
        "        if spec.content_hash != content_hash:\n",
        "experiment/test_suite_folder.py",
        "earlier_thaw",
    ),
    Bug(
        "the reaper does not explain the sudden death of Ray",
        "acting/remote/reaper.py",
        '            return read_all() == b""\n',
        "            return False\n",
        "acting/remote/test_ray_session.py",
        "ends_the_process_at_once",
    ),
    Bug(
        "a preset replaces what the agent names",
        "config/presets.py",
        "{**PRESETS[name], **own}",
        "{**own, **PRESETS[name]}",
        "config/test_presets.py",
    ),
    Bug(
        "rewards are not scaled",
        "impala/losses.py",
        "trajectory.rewards * config.reward_scale",
        "trajectory.rewards * 1.0",
        "impala/test_losses.py",
        "scaled",
    ),
)


def plant(bug: Bug | None, home: Path) -> None:
    """Copy package and tests to a folder, with a bug in them or without.

    Raises:
        ValueError: The old text is not there exactly once.
    """
    no_caches = shutil.ignore_patterns("__pycache__")
    for name in ("thaw", "tests"):
        shutil.copytree(ROOT / name, home / name, ignore=no_caches)
    shutil.copy(ROOT / "pyproject.toml", home)
    (home / "conftest.py").write_text(GUARD)
    if bug is not None:
        file = home / "thaw" / bug.file
        text = file.read_text(encoding="utf-8")
        if text.count(bug.old) != 1:
            raise ValueError(f"'{bug.name}': its old text is {text.count(bug.old)}x in {bug.file}")
        file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")


def run_tests(home: Path, files: str, keyword: str = "") -> subprocess.CompletedProcess[str]:
    """Run some tests of a copy, on that copy's package."""
    arguments = [f"tests/{file}" for file in files.split()] + ["-k", keyword] * bool(keyword)
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {
        "PYTHONPATH": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def verdict(bug: Bug) -> tuple[bool, str]:
    """Plant a bug; return whether it was caught, and one line about it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        plant(bug, home)
        done = run_tests(home, bug.tests, bug.keyword)
    seconds = time.monotonic() - started
    caught = done.returncode == TESTS_FAILED
    if caught:
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
        return True, f"caught    {bug.name} ({seconds:.0f} s): {failed[0].split()[1]}"
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return False, f"SURVIVED  {bug.name} ({seconds:.0f} s): exit {done.returncode}, {last}"


def tests_of_all(bugs: tuple[Bug, ...]) -> list[tuple[str, str]]:
    """All tests that bugs name, in two sets of files and keyword: whole files, and the others."""
    whole = {file: None for bug in bugs if not bug.keyword for file in bug.tests.split()}
    parts = {file: None for bug in bugs for file in bug.tests.split() if file not in whole}
    keywords = {f"({bug.keyword})": None for bug in bugs if bug.keyword}
    sets = [(" ".join(whole), ""), (" ".join(parts), " or ".join(keywords))]
    return [(files, keyword) for files, keyword in sets if files]


def main() -> int:
    """Plant every bug; 0 if all are caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only bugs whose name holds one of these")
    parser.add_argument("--workers", type=int, default=2, help="copies tested at the same time")
    arguments = parser.parse_args()
    words = arguments.words or [""]
    bugs = tuple(bug for bug in BUGS if any(word in bug.name for word in words))
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.workers) as workers, tempfile.TemporaryDirectory() as folder:
        # Without a bug everything must be green, or red would mean nothing.
        healthy = Path(folder).resolve()
        plant(None, healthy)
        for done in workers.map(lambda tests: run_tests(healthy, *tests), tests_of_all(bugs)):
            if done.returncode != 0:
                print(done.stdout + done.stderr)
                print("these tests fail without any bug")
                return 1
        survivors = 0
        for caught, line in workers.map(verdict, bugs):
            survivors += not caught
            print(line, flush=True)
    seconds = time.monotonic() - started
    print(f"{len(bugs) - survivors} of {len(bugs)} planted bugs caught in {seconds:.0f} s")
    return 1 if survivors or not bugs else 0


if __name__ == "__main__":
    sys.exit(main())
