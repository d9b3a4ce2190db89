"""Planted bugs of ``thaw/experiment/``: the plan, the suite's folder, opened policies."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a run that was lost to another machine is marked as failed",
        "experiment/one_run.py",
        "            run_folder,\n            runtime",
        "            type(run_folder)(run_folder.path),\n            runtime",
        "experiment/test_job_array.py",
        "has_taken",
    ),
    Bug(
        "a folder of other settings is taken if no run is the same",
        "experiment/suite_folder.py",
        "        self._check_settings(planned.suite)\n",
        "",
        "experiment/test_suite_folder.py",
        "other_settings",
    ),
    Bug(
        "a race waits for ever for runs without a score",
        "experiment/raced_runs.py",
        "return [key for key in keys if key in self.rows]",
        "return []",
        "experiment/test_racing.py",
        "no_score",
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
        "--only leaves out the pretrainings",
        "experiment/plan.py",
        "keys = {run.key for run in found} | {run.source_key for run in found}",
        "keys = {run.key for run in found}",
        "experiment/test_execute.py",
        "only_does_a_part",
    ),
    Bug(
        "thaw run does not say that pretraining has learned nothing",
        "experiment/pretraining_check.py",
        "        if missing:\n",
        "        if True:\n",
        "experiment/test_pretraining_check.py",
        "warns_once",
    ),
    Bug(
        "a run does not know the hash of its imported policy",
        "experiment/plan.py",
        "suite.source_hashes.get(checkpoint)",
        "None",
        "experiment/test_source_checkpoint.py",
        "hash_of_the_weights",
    ),
    Bug(
        "a transfer from a milestone starts from the final policy",
        "experiment/suite_folder.py",
        "pretraining.path if step is None else",
        "pretraining.path if True else",
        "experiment/test_milestones.py",
        "its_own_policy",
    ),
)
