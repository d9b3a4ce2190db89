"""The table of parts says what will train, and its numbers add up."""

from __future__ import annotations

import re

import pytest
import torch

from thaw.config.agent import AgentConfig
from thaw.config.named_rules import NAMED_RULES
from thaw.config.update_rule import UpdateRule
from thaw.policy.parts_table import part_rows, table_of
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule


def small_policy(embedding: str = "impala_shallow") -> Policy:
    torch.manual_seed(0)
    sizes = AgentConfig(embedding=embedding, embedding_size=16, lstm_size=8, fc_size=8)
    return Policy((30, 20, 3), 4, sizes)


def table(rule: str, embedding: str = "impala_shallow") -> str:
    policy = small_policy(embedding)
    return table_of(part_rows(policy, UpdateRule(rule).on(policy.network())), 0.5)


def test_a_part_is_as_large_as_one_rule_reaches() -> None:
    rule = (
        "embedding=source:trained:lr=0.1,embedding.linear.bias=source~0.25:frozen@1200,"
        "head=random:frozen,head.policy=source:trained@25%:pull=2"
    )
    assert [re.split(r"  +", line) for line in table(rule).splitlines()[:-2]] == [
        ["part", "parameters", "weights", "trains", "rate", "pull"],
        ["embedding.sections", "11,312", "source", "always", "0.05", "-"],
        ["embedding.linear.weight", "1,024", "source", "always", "0.05", "-"],
        [
            "embedding.linear.bias", "16", "0.75 source + 0.25 random", "until step 1,200", "0.5",
            "-",
        ],
        ["head.lstm", "960", "random", "never", "-", "-"],
        ["head.fc", "72", "random", "never", "-", "-"],
        ["head.policy", "36", "source", "from 25% of the run on", "0.5", "2"],
        ["head.value", "9", "random", "never", "-", "-"],
    ]  # fmt: skip
    assert table(rule).splitlines()[-1] == (
        "12,388 of 13,429 parameters train, 12,352 of them from the beginning"
    )


@pytest.mark.parametrize("name", NAMED_RULES)
def test_every_parameter_is_in_one_row(name: str) -> None:
    embedding = "user_embedding:batch_norm" if name == "norms_only" else "impala_deep"
    policy = small_policy(embedding)
    rule = UpdateRule(name).within(1000)
    rows = part_rows(policy, rule.on(policy.network()))
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in policy.parameters())
    source = {n: t.detach().clone() for n, t in policy.parts()}
    apply_update_rule(policy, rule, source, steps=1000)
    trained = sum(p.numel() for n, p in policy.named_parameters() if n not in policy.frozen)
    assert sum(row.parameters for row in rows if row.rule.trains_at(0)) == trained


def test_the_simplest_rule_has_two_rows() -> None:
    assert len(table("update_all").splitlines()) == 5
