from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.config.update_rule import UpdateRule


def test_the_longest_prefix_decides() -> None:
    rule = UpdateRule("head=source:trained,embedding=source:frozen,head.lstm=random:trained")
    assert str(rule.of("embedding.linear.weight")) == "source:frozen"
    assert str(rule.of("head.fc.weight")) == "source:trained"
    assert str(rule.of("head.lstm.bias")) == "random:trained"
    assert str(rule.of("head.lstm2.bias")) == "source:trained"  # a prefix ends at a dot


def test_the_named_rules_are_those_of_the_paper() -> None:
    said = {
        name: (
            UpdateRule(name).of("embedding.x").trains,
            UpdateRule(name).of("head.x").trains,
            UpdateRule(name).needs_source,
            UpdateRule(name).trains,
        )
        for name in ("scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")
    }
    assert said == {
        "scratch": (True, True, False, True),
        "update_all": (True, True, True, True),
        "freeze_embedding": (False, True, True, True),
        "freeze_head": (True, False, True, True),
        "freeze_all": (False, False, True, False),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("freeze_al", "did you mean 'freeze_all'? Known: scratch, update_all"),
        ("embedding=source:frozen", "missing head"),
        ("embedding=source:frozen,head=source:trained,torso=random:trained", "unknown torso"),
        ("embedding=source:frozen,head=target:trained", "'head=target:trained'"),
        ("embedding=source:frozen,head=source:thawed", "'head=source:thawed'"),
        ("embedding=source:frozen,head=source:frozen,head=source:trained", "each part named once"),
    ],
)
def test_a_wrong_rule_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        UpdateRule(text)
    assert said in str(caught.value)
