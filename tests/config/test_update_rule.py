from __future__ import annotations

import pytest
from small_runs import SPEC, changed, transfer

from thaw.config.errors import InputError
from thaw.config.named_rules import NAMED_RULES, PAPER_RULES
from thaw.config.parts import Network, reach
from thaw.config.update_rule import UpdateRule

DEEP = Network(
    tuple(
        f"{part}.{tensor}"
        for part in (
            "embedding.sections.0.conv", "embedding.sections.0.block0.conv0",
            "embedding.sections.2.conv", "embedding.linear", "head.lstm", "head.policy",
            "head.value",
        )
        for tensor in ("weight", "bias")
    ),
    ("embedding.sections.0.conv.weight", "embedding.sections.2.conv.weight",
     "embedding.linear.weight", "head.lstm.weight"),
)  # fmt: skip


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
        ("embedding=source:trained:lr=0,head=source:trained", "say frozen"),
        ("embedding=source:trained:lr=0.0e3,head=source:trained", "say frozen"),
        ("embedding=source:trained:lr=-1,head=source:trained", "is not PART="),
        ("embedding=source:trained:lr=nan,head=source:trained", "is not PART="),
        ("embedding=source:trained:lr=1e999,head=source:trained", "must be at most 1e+30"),
        ("embedding=source:trained:lr=1:lr=2,head=source:trained", "lr is there twice"),
        ("embedding=random:trained:pull=1,head=source:trained", "pull draws to the source's"),
        ("embedding=source:frozen:pull=1,head=source:trained", "neither lr nor pull"),
        ("embedding=source:frozen@0:lr=2,head=source:trained", "neither lr nor pull"),
        ("embedding=source~1:trained,head=source:trained", "say random"),
        ("embedding=random~0.5:trained,head=source:trained", "after ~ stands the share"),
        ("embedding=source:trained@100%,head=source:trained", "is not PART="),
        ("embedding=source:trained,head=source:trained,optimizer=old", "is not PART="),
        ("embedding=source:trained,head=source:trained,teacher=-1", "is not teacher=WEIGHT"),
        ("embedding=source:trained,head=source:trained,teacher=1,teacher=2", "teacher twice"),
        ("embedding=source:trained,head=source:trained,teacher=1:floor=0.1", "needs a decay"),
        ("embedding=source:trained,head=source:trained,teacher=1:decay=9:floor=2", "at most the"),
        ("embedding=source:trained,head=source:trained,teacher=1:decay=101%", "at most 100%"),
        ("embedding=source:frozen,head=source:frozen,teacher=1", "nothing trains"),
        (
            "embedding=source:trained,head=source:trained,optimizer=source,optimizer=fresh",
            "names the optimizer twice",
        ),
        ("embedding=source:frozen,head=random:trained,optimizer=source", "and there is none"),
        ("embedding=source:trained@-1,head=source:trained", "is not PART="),
        ("embedding=source:trained@9223372036854775808,head=source:trained", "is above"),
        (f"embedding=source:trained@{'9' * 5000},head=source:trained", "is above"),
        ("embedding=source:trained@1_,head=source:trained", "is not PART="),
        ("embedding=source:trained@1__0,head=source:trained", "is not PART="),
        ("embedding=source:trained,head=source:trained,*.a[0]=source:frozen", "is not PART="),
        ("embedding=source:trained,head=source:trained,head[0]=source:frozen", "is not PART="),
        ("embedding=source:trained,head=source:trained,emb*=source:frozen", "is not PART="),
    ],
)
def test_a_wrong_rule_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        UpdateRule(text)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------------ the text


def test_the_paper_s_rules_are_the_texts_that_they_were() -> None:
    """The text is part of a run's hash: another text would be another run."""
    assert {name: str(UpdateRule(name)) for name in PAPER_RULES} == {
        "scratch": "embedding=random:trained,head=random:trained",
        "update_all": "embedding=source:trained,head=source:trained",
        "freeze_embedding": "embedding=source:frozen,head=source:trained",
        "freeze_head": "embedding=source:trained,head=source:frozen",
        "freeze_all": "embedding=source:frozen,head=source:frozen",
    }
    run = transfer("update_all", source=changed(SPEC, results_version=3))
    assert run.content_hash == "f8a76766c95b9d1e"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (
            "head=source:trained@0:lr=1,embedding=source~0:trained:pull=0:lr=1.0",
            "embedding=source:trained,head=source:trained",
        ),
        (
            "embedding = random:frozen@0%, head=source~.30:frozen@0",
            "embedding=random:frozen,head=source~0.3:frozen",
        ),
        (
            "embedding=source:trained@12_000:pull=1e-3:lr=1e-1,head=source:frozen@12.50%:lr=10",
            "embedding=source:trained@12000:lr=0.1:pull=0.001,head=source:frozen@12.5%:lr=10",
        ),
        (
            "teacher=.50:decay=1_000:floor=0.10,embedding=random:trained,head=random:trained",
            "embedding=random:trained,head=random:trained,teacher=0.5:decay=1000:floor=0.1",
        ),
        ("teacher=0,embedding=source:frozen,head=source:trained", "freeze_embedding"),
        ("optimizer=fresh,embedding=source:frozen,head=source:trained", "freeze_embedding"),
        (
            "optimizer=source,*.bias=source:frozen,embedding=source:trained,head=source:trained",
            "*.bias=source:frozen,embedding=source:trained,head=source:trained,optimizer=source",
        ),
        (
            "embedding=source:frozen,head=source:trained,embedding[-1].bias=source:trained",
            "embedding=source:frozen,embedding[-1].bias=source:trained,head=source:trained",
        ),
    ],
)
def test_equal_rules_are_equal_texts(written: str, canonical: str) -> None:
    rule = UpdateRule(written)
    assert str(rule) == (NAMED_RULES[canonical].text if canonical in NAMED_RULES else canonical)
    assert rule.within(10**6).optimizer == rule.optimizer
    assert UpdateRule(rule) == rule
    assert UpdateRule(rule).parts == rule.parts


def test_the_teacher_s_weight_falls_to_its_floor_and_stays_there() -> None:
    rule = UpdateRule(
        "embedding=random:trained,head=random:trained,teacher=0.5:decay=50%:floor=0.1"
    )
    assert rule.needs_source
    teacher = rule.within(400).teacher
    assert teacher is not None
    weights = [teacher.weight_at(steps) for steps in (0, 100, 200, 300)]
    assert weights == pytest.approx([0.5, 0.3, 0.1, 0.1])
    constant = UpdateRule("embedding=random:trained,head=random:trained,teacher=0.5").teacher
    assert constant is not None
    assert constant.weight_at(10**9) == 0.5


def test_a_teacher_needs_a_clock_that_keeps_the_order() -> None:
    with pytest.raises(InputError, match="use lockstep or overlapped"):
        changed(transfer("kickstart"), agent={"clock": "asynchronous", "actors": 1})


# ----------------------------------------------------------------------------- the longest match


@pytest.mark.parametrize(
    ("part", "name", "length"),
    [
        ("embedding", "embedding.linear.bias", (1, 1, 0)),
        ("embedding.linear", "embedding.linear.bias", (2, 2, 0)),
        ("embedding.line", "embedding.linear.bias", None),
        ("embedding.linear.bias.x", "embedding.linear.bias", None),
        ("embedding.*.bias", "embedding.linear.bias", (3, 2, 1)),
        ("embedding.*.bias", "embedding.sections.0.conv.bias", (5, 2, 1)),
        ("embedding.*.linear", "embedding.linear.bias", None),  # one segment at least
        ("embedding.*", "embedding.linear.bias", (1, 1, 1)),
        ("embedding.*", "embedding", None),
        ("embedding.*.*", "embedding.scale", None),
        ("*.bias", "head.lstm.bias", (3, 1, 1)),
        ("*", "head.lstm.bias", (0, 0, 1)),
        ("embedding.*.conv", "embedding.conv.x.conv.bias", (4, 2, 1)),
    ],
)
def test_how_far_a_part_reaches(part: str, name: str, length: tuple[int, int, int] | None) -> None:
    assert reach(part, name) == length


def said_of(text: str, name: str) -> str:
    return str(UpdateRule(f"embedding=source:trained,head=source:trained,{text}").on(DEEP)[name])


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        # The word furthest to the right decides ...
        (
            "embedding.*.bias=source:frozen,embedding.sections.0=random:trained",
            "embedding.sections.0.conv.bias", "source:frozen",
        ),
        (
            "embedding.*.bias=source:frozen,embedding.sections.0=random:trained",
            "embedding.sections.0.conv.weight", "random:trained",
        ),
        # ... a star at the end is no word ...
        (
            "embedding.*=source:frozen,embedding.linear=random:trained",
            "embedding.linear.bias", "random:trained",
        ),
        ("embedding.*=random:trained", "embedding.linear.bias", "random:trained"),
        # ... and with equal ends, the one with more words.
        (
            "embedding.*.bias=source:frozen,embedding.linear.bias=random:trained",
            "embedding.linear.bias", "random:trained",
        ),
        ("*.weight=source:frozen", "head.lstm.weight", "source:frozen"),
        ("embedding[0]=source:frozen", "embedding.sections.0.conv.bias", "source:frozen"),
        ("embedding[-1]=source:frozen", "embedding.linear.bias", "source:frozen"),
        ("embedding[-2]=source:frozen", "embedding.sections.2.conv.bias", "source:frozen"),
        ("embedding[0].conv=source:frozen", "embedding.sections.0.block0.conv0.bias",
         "source:trained"),
    ],
)  # fmt: skip
def test_the_longest_match_wins_with_stars_too(text: str, name: str, said: str) -> None:
    assert said_of(text, name) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("embedding[3]=source:frozen", "its 3 blocks are embedding.sections.0,"),
        ("embedding[-4]=source:frozen", "its 3 blocks are embedding.sections.0,"),
        ("embedding[norms]=source:frozen", "but the embedding of this network has no norm"),
        ("embedding.*.gamma=source:frozen", "names 'embedding.*.gamma', which this policy does"),
        ("embedding[0].conv9=source:frozen", "names 'embedding.sections.0.conv9'"),
        (
            "embedding[-1]=source:frozen,embedding.linear=random:trained",
            "'embedding.linear' fit 'embedding.linear.weight' equally well",
        ),
    ],
)
def test_a_part_that_is_not_there_or_not_clear_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        said_of(text, "embedding.linear.bias")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------- steps


def test_a_share_of_the_run_is_rounded_down_and_exact() -> None:
    rule = UpdateRule("embedding=source:trained@33.3%,head=source:frozen@70%")
    assert str(rule.within(10)) == "embedding=source:trained@3,head=source:frozen@7"
    assert str(rule.within(10**15)) == (
        "embedding=source:trained@333000000000000,head=source:frozen@700000000000000"
    )
    assert str(rule.within(1)) == "embedding=source:trained,head=source:frozen"


def test_a_part_trains_from_its_step_on_or_until_it() -> None:
    begins = UpdateRule("embedding=source:trained@5,head=source:frozen@5")
    for steps, expected in ((0, (False, True)), (4, (False, True)), (5, (True, False))):
        parts = begins.of("embedding.x"), begins.of("head.x")
        assert tuple(part.trains_at(steps) for part in parts) == expected
    assert begins.of("embedding.x").trains
    assert begins.of("head.x").trains
    assert not UpdateRule("freeze_all").of("head.x").trains_at(10**9)


@pytest.mark.parametrize("state", ["trained", "frozen"])
def test_a_step_beyond_the_budget_is_refused(state: str) -> None:
    text = f"embedding=source:{state}@480,head=source:trained"
    with pytest.raises(InputError, match="at step 480, but the run has 480 steps; give a step bef"):
        transfer(text)
    assert transfer(text.replace("480", "479")).update_rule is not None


@pytest.mark.parametrize("name", NAMED_RULES)
def test_a_named_rule_reads_and_is_described(name: str) -> None:
    rule, said = UpdateRule(name), NAMED_RULES[name]
    rule.within(1000)
    for sentence in (said.what, said.when):
        assert sentence.endswith(".")
    assert said.origin
    assert rule.needs_source == (name not in ("scratch", "random_features"))
