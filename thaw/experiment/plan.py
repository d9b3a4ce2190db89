"""The runs of a suite: which there are, in which order, and from which pretraining."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.suite import Suite
from thaw.config.update_rule import UpdateRule


class PlannedRun(NamedTuple):
    """One run of a suite."""

    key: str
    """Readable and unique; the run's folder below ``runs/``: catch@large_ball/freeze_head/seed3."""
    spec: RunSpec
    source_key: str | None
    """The pretraining that must be done first; None if there is none."""
    checkpoint: str | None = None
    """The folder of the policy that the run only scores, in place of a pretraining."""


class Plan(NamedTuple):
    """All runs of a suite. Each pretraining is there once, before the runs that start from it.

    A race may need only some of them.
    """

    suite: Suite
    runs: tuple[PlannedRun, ...]

    @property
    def at_least(self) -> Plan:
        """The runs that are needed in any case: of a race those of its first look, else all."""
        suite = self.suite
        if suite.racing is None or not suite.is_raced:
            return self
        seeds = suite.seed_list[: suite.racing.looks[0]]
        return Plan(suite, tuple(run for run in self.runs if run.spec.seed in seeds))

    @property
    def total_steps(self) -> int:
        """The agent's decisions in all runs together."""
        return sum(run.spec.steps for run in self.runs)


def select(planned: Plan, pattern: str) -> Plan:
    """Return the part of a plan whose keys match a glob pattern, and what it starts from.

    Args:
        planned: All runs.
        pattern: As in ``*/scratch/*``; ``*`` also matches slashes.

    Raises:
        InputError: It matches no run, or the suite is a race.
    """
    if planned.suite.is_raced:
        raise InputError("--only: a race decides itself which runs it needs; leave one out")
    found = [run for run in planned.runs if fnmatchcase(run.key, pattern)]
    if not found:
        raise InputError(
            f"--only '{pattern}' matches no run; keys are as '{planned.runs[-1].key}', and "
            "`thaw plan` lists them"
        )
    keys = {run.key for run in found} | {run.source_key for run in found}
    return Plan(planned.suite, tuple(run for run in planned.runs if run.key in keys))


def describe_selection(planned: Plan, chosen: Plan, pattern: str) -> str:
    """Say what :func:`select` has chosen."""
    num_sources = sum(not fnmatchcase(run.key, pattern) for run in chosen.runs)
    said = f"--only '{pattern}': {len(chosen.runs) - num_sources} of {len(planned.runs)} runs"
    sources = "pretraining" if num_sources == 1 else "pretrainings"
    return said + (f", and {num_sources} {sources} that they start from" if num_sources else "")


def plan(suite: Suite) -> Plan:
    """Return the runs of a suite.

    The pretraining with seed i is shared by all transfers with seed i from that source. With a
    ``source_checkpoint``, it trains nothing: it scores that policy on the source. Scratch and
    random are shared by all transfers to their target. Random also plays on each source.

    Raises:
        InputError: Two runs would share a folder, at least on some file systems.
    """
    runs: dict[str, PlannedRun] = {}

    def add(
        condition: str,
        flavor: Flavor,
        seed: int,
        source: PlannedRun | None,
        source_step: int | None = None,
    ) -> PlannedRun:
        is_first = condition == "pretrain"
        checkpoint = suite.checkpoint_of(flavor, seed) if is_first else None
        rule = suite.rule("scratch" if is_first else condition)
        source_hash = source.spec.content_hash if source else None
        if checkpoint is not None:
            rule, source_hash = UpdateRule("freeze_all"), suite.source_hashes.get(checkpoint)
        steps = (suite.pretrain_steps or 0) if is_first else suite.transfer_steps
        spec = RunSpec(
            condition=condition,
            flavor=flavor,
            source=source.spec.flavor if source else None,
            source_hash=source_hash,
            source_step=source_step,
            update_rule=rule,
            milestones=suite.kept_steps if is_first else (),
            seed=seed,
            steps=steps if rule is not None and rule.trains else 0,
            environment=suite.environment,
            agent=suite.agent,
            evaluation=suite.evaluation,
        )
        key = run_key(spec)
        planned = PlannedRun(key, spec, source.key if source else None, checkpoint)
        run = runs.setdefault(key, planned)
        if run.spec != spec:
            raise InputError(
                f"two different runs would share the folder 'runs/{key}'; give the condition "
                f"'{condition}' another name"
            )
        return run

    rules = [suite.rule(condition) for condition in suite.conditions]
    pretrains = any(rule is not None and rule.needs_source for rule in rules)
    for transfer in suite.transfers:
        for seed in suite.seed_list:
            for condition in suite.conditions:
                rule = suite.rule(condition)
                source = None
                if rule is not None and rule.needs_source:
                    source = add("pretrain", transfer.source, seed, None)
                    for step in suite.earlier_steps:
                        add(condition, transfer.target, seed, source, step)
                elif condition == "random" and pretrains:
                    # The report asks whether the pretraining beat it where it was trained.
                    add("random", transfer.source, seed, None)
                add(condition, transfer.target, seed, source)
    _check_upper_case(runs)
    return Plan(suite, tuple(sorted(runs.values(), key=_place_in_order)))


def _place_in_order(run: PlannedRun) -> int:
    """Return 0 for pretrainings, for which others wait, 2 for runs that start from milestones."""
    return 0 if run.spec.condition == "pretrain" else 1 + bool(run.spec.source_step)


def _check_upper_case(keys: Iterable[str]) -> None:
    """Check that keys differ in more than upper and lower case."""
    found: dict[str, str] = {}
    for key in keys:
        other = found.setdefault(key.casefold(), key)
        if other != key:
            raise InputError(
                f"'{other}' and '{key}' differ in upper and lower case only, which some file "
                "systems cannot tell apart; rename the update rule, or put the flavors into two "
                "suites"
            )


MAX_SEGMENT_LETTERS = 150
"""Of one folder's name; file systems take 255 bytes."""


def run_key(spec: RunSpec) -> str:
    """Return the readable key of a run, which is its folder below ``runs/``.

    The key names the source if it is not the default variant of the target's environment, and the
    step of the pretraining if it is not the last one.
    """
    condition = spec.condition
    if spec.source_step is not None:
        condition += f"-after-{spec.source_step}"
    if spec.source is not None:
        usual = (spec.flavor.family, spec.flavor.name, "default", ())
        source = spec.source
        if (source.family, source.name, source.variant, source.options) != usual:
            condition += f"-from-{_place(source).replace('/', ':')}"
    segments = [*_place(spec.flavor).split("/"), condition, f"seed{spec.seed}"]
    return "/".join(_shortened(segment) for segment in segments)


def _place(flavor: Flavor) -> str:
    """Write a flavor as a path that stays below its parent and that no other flavor has."""
    address, mark, options = str(flavor).partition("?")
    segments = _quoted(address, r"[%\\]").split("/")
    if {"", ".", ".."} & set(segments):
        segments = ["%2F".join(s.replace(".", "%2E") if set(s) <= {"."} else s for s in segments)]
    # A comma separates the options here, so a comma inside of a value must look different.
    options = _quoted(options, r"[%,/\\]").replace("&", ",")
    return "/".join(segments) + mark.replace("?", ",") + options


def _quoted(text: str, letters: str) -> str:
    """Write letters that a path may not have as ``%XX``, as URLs do."""
    return re.sub(letters, lambda letter: f"%{ord(letter[0]):02X}", text)


def _shortened(segment: str) -> str:
    """Cut a long name and end it with a hash of the whole."""
    if len(segment) <= MAX_SEGMENT_LETTERS:
        return segment
    return segment[:MAX_SEGMENT_LETTERS] + "~" + hashlib.sha256(segment.encode()).hexdigest()[:8]
