"""The runs of a suite: which there are, in which order, and from which pretraining."""

from __future__ import annotations

from typing import NamedTuple

from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.suite import Suite


class PlannedRun(NamedTuple):
    """One run of a suite."""

    key: str
    """Readable and unique; the run's folder below ``runs/``: catch@large_ball/freeze_head/seed3."""
    spec: RunSpec
    source_key: str | None
    """The pretraining that must be done first; None if there is none."""


class Plan(NamedTuple):
    """All runs of a suite. Each pretraining is there once, before the runs that start from it."""

    suite: Suite
    runs: tuple[PlannedRun, ...]

    @property
    def total_steps(self) -> int:
        """The agent's decisions in all runs together."""
        return sum(run.spec.steps for run in self.runs)


def plan(suite: Suite) -> Plan:
    """Return the runs of a suite.

    The pretraining with seed i is shared by all transfers with seed i from that source. Scratch and
    random are shared by all transfers to their target.
    """
    runs: dict[str, PlannedRun] = {}

    def add(condition: str, flavor: Flavor, seed: int, source: PlannedRun | None) -> PlannedRun:
        rule = suite.rule("scratch" if condition == "pretrain" else condition)
        steps = suite.pretrain_steps if condition == "pretrain" else suite.transfer_steps
        spec = RunSpec(
            condition=condition,
            flavor=flavor,
            source=source.spec.flavor if source else None,
            source_hash=source.spec.content_hash if source else None,
            update_rule=rule,
            seed=seed,
            steps=steps if rule is not None and rule.trains else 0,
            environment=suite.environment,
            agent=suite.agent,
            evaluation=suite.evaluation,
        )
        key = run_key(spec)
        return runs.setdefault(key, PlannedRun(key, spec, source.key if source else None))

    for transfer in suite.transfers:
        for seed in suite.seed_list:
            for condition in suite.conditions:
                rule = suite.rule(condition)
                source = None
                if rule is not None and rule.needs_source:
                    source = add("pretrain", transfer.source, seed, None)
                add(condition, transfer.target, seed, source)
    # Pretrainings first, because other runs wait for them. The sort keeps the order of the rest.
    ordered = sorted(runs.values(), key=lambda run: run.spec.condition != "pretrain")
    return Plan(suite, tuple(ordered))


def run_key(spec: RunSpec) -> str:
    """Return the readable key of a run.

    The key names the source if it is not the default variant of the target's environment.
    """
    flavor = str(spec.flavor).replace("?", ",").replace("&", ",")
    condition = spec.condition
    if spec.source is not None:
        usual = (spec.flavor.family, spec.flavor.name, "default", ())
        source = spec.source
        if (source.family, source.name, source.variant, source.options) != usual:
            written = str(source).replace("?", ",").replace("&", ",").replace("/", ":")
            condition += f"-from-{written}"
    return f"{flavor}/{condition}/seed{spec.seed}"
