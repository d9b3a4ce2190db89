"""What an update rule would do with a policy: ``thaw rules RULE --for CHECKPOINT|FLAVOR``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError, check_at_least
from thaw.config.flavor import Flavor
from thaw.config.trust import check_code, code_named_in
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import flavor_spaces
from thaw.experiment.opened_policy import TRUST_IN_PYTHON, read_checkpoint
from thaw.experiment.single import train_spec
from thaw.policy import Policy
from thaw.policy.parts_table import PartRow, part_rows, table_of


class RuleTable(NamedTuple):
    """The parts of a policy under a rule."""

    rule: UpdateRule
    agent: AgentConfig
    rows: list[PartRow]

    @property
    def text(self) -> str:
        """The table for a reader."""
        return table_of(self.rows, self.agent.learning_rate)


def rule_table(
    rule: str,
    place: str,
    *,
    steps: int | None = None,
    overrides: Iterable[str] = (),
    trust_code: bool = False,
    how: str = TRUST_IN_PYTHON,
) -> RuleTable:
    """Return what a rule does with each part of a policy. Nothing is trained or written.

    Args:
        rule: A named rule or one in words.
        place: A checkpoint's folder, or a flavor: then the agent that would train there.
        steps: Of the run; shares of it become numbers then.
        overrides: For a flavor, ``dotted.key=value`` items below agent and environment.
        trust_code: Import and call what a checkpoint names (SECURITY.md).
        how: What to type for a checkpoint that is trusted; part of the error.

    Raises:
        InputError: The rule does not fit the network, or the place is neither.
    """
    parsed, overrides = UpdateRule(rule), tuple(overrides)
    check_at_least("--steps", steps, 1)
    if steps is not None:
        parsed = parsed.within(steps)
    if Path(place).is_dir():
        if overrides:
            raise InputError(f"--set {overrides[0]}: a checkpoint has its agent; leave --set out")
        description = read_checkpoint(place).description
        agent, shape = description.agent, description.observation_shape
        num_actions = description.num_actions
        if not trust_code:
            check_code(f"checkpoint '{place}'", code_named_in(agent), (), how)
    else:
        spec = train_spec(place, steps=1, overrides=overrides)
        agent = spec.agent
        spaces = flavor_spaces(Flavor(place), spec.environment_options)
        shape, num_actions = spaces.observation_shape, spaces.num_actions
    policy = Policy(shape, num_actions, agent)
    return RuleTable(parsed, agent, part_rows(policy, parsed.on(policy.network())))
