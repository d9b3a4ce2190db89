from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from command_line import TINY

from thaw.config.errors import InputError
from thaw.config.named_rules import NAMED_RULES
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, parse_yaml, to_plain, to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite


def suite(**changes: object) -> Suite:
    return from_plain(parse_yaml(TINY) | changes, Suite, "test")


def runs(**changes: object) -> dict[str, PlannedRun]:
    return {run.key: run for run in plan(suite(**changes)).runs}


def hashes(**changes: object) -> dict[str, str]:
    return {key: run.spec.content_hash for key, run in runs(**changes).items()}


def test_the_runs_of_one_transfer() -> None:
    planned = plan(suite())
    assert [(run.key, run.spec.steps, run.source_key) for run in planned.runs] == [
        ("catch/pretrain/seed0", 400, None),
        ("catch/random/seed0", 0, None),
        ("catch@large_ball/random/seed0", 0, None),
        ("catch@large_ball/scratch/seed0", 360, None),
        ("catch@large_ball/update_all/seed0", 360, "catch/pretrain/seed0"),
        ("catch@large_ball/freeze_embedding/seed0", 360, "catch/pretrain/seed0"),
        ("catch@large_ball/freeze_head/seed0", 360, "catch/pretrain/seed0"),
        ("catch@large_ball/freeze_all/seed0", 0, "catch/pretrain/seed0"),
    ]
    assert planned.total_steps == 400 + 4 * 360


def test_each_run_gets_the_suite_s_settings() -> None:
    chosen = suite()
    for run in plan(chosen).runs:
        assert run.spec.environment == chosen.environment
        assert run.spec.agent == chosen.agent
        assert run.spec.evaluation == chosen.evaluation
    transfer = runs()["catch@large_ball/freeze_head/seed0"].spec
    assert (transfer.flavor, transfer.source) == ("catch@large_ball", "catch")
    assert transfer.update_rule == "embedding=source:trained,head=source:frozen"
    assert runs()["catch@large_ball/random/seed0"].spec.update_rule is None
    assert runs()["catch@large_ball/scratch/seed0"].spec.source is None


def test_pretraining_is_shared_by_the_transfers_of_its_seed_and_source() -> None:
    planned = runs(
        transfers=[
            {"source": "catch", "target": "catch@large_ball"},
            {"source": "catch", "target": "catch@red_background"},
        ],
        seeds=[3, 8],
    )
    pretrainings = {key for key, run in planned.items() if run.spec.condition == "pretrain"}
    assert pretrainings == {"catch/pretrain/seed3", "catch/pretrain/seed8"}
    for run in planned.values():
        if run.source_key is not None:
            assert run.source_key == f"catch/pretrain/seed{run.spec.seed}"
            assert run.spec.source_hash == planned[run.source_key].spec.content_hash
    uses = Counter(run.source_key for run in planned.values())
    assert uses["catch/pretrain/seed3"] == uses["catch/pretrain/seed8"] == 2 * 4


def test_scratch_and_random_are_shared_by_the_transfers_to_their_target() -> None:
    planned = plan(
        suite(
            transfers=[
                {"source": "catch", "target": "catch@large_ball"},
                {"source": "catch@small_ball", "target": "catch@large_ball"},
            ]
        )
    )
    count = Counter(run.spec.condition for run in planned.runs)
    assert count == {
        "pretrain": 2, "random": 3, "scratch": 1, "update_all": 2, "freeze_embedding": 2,
        "freeze_head": 2, "freeze_all": 2,
    }  # fmt: skip


def test_two_sources_of_one_target_have_keys_and_hashes_of_their_own() -> None:
    chosen = suite(
        transfers=[
            {"source": "catch", "target": "catch@large_ball"},
            {"source": "catch@small_ball", "target": "catch@large_ball"},
            {"source": "catch@small_ball?ball_speed=2", "target": "catch@large_ball"},
            {"source": "catch@large_ball", "target": "catch"},
        ]
    )
    keys = [run.key for run in plan(chosen).runs if run.spec.condition == "update_all"]
    assert keys == [
        "catch@large_ball/update_all/seed0",
        "catch@large_ball/update_all-from-catch@small_ball/seed0",
        "catch@large_ball/update_all-from-catch@small_ball,ball_speed=2/seed0",
        "catch/update_all-from-catch@large_ball/seed0",
    ]
    every = plan(chosen).runs
    assert len({run.key for run in every}) == len(every)
    assert len({run.spec.content_hash for run in every}) == len(every)


def test_keys_are_folders_below_runs_whatever_a_flavor_is_called() -> None:
    chosen = suite(
        transfers=[
            {"source": "atari/pong@m0d1", "target": "atari/pong@m1d1"},
            {"source": "atari/pong@m0d1?sticky=0.5&x=1", "target": "atari/pong"},
        ],
        conditions=["freeze_all"],
    )
    assert [run.key for run in plan(chosen).runs] == [
        "atari/pong@m0d1/pretrain/seed0",
        "atari/pong@m0d1,sticky=0.5,x=1/pretrain/seed0",
        "atari/pong@m1d1/freeze_all-from-atari:pong@m0d1/seed0",
        "atari/pong/freeze_all-from-atari:pong@m0d1,sticky=0.5,x=1/seed0",
    ]


@pytest.mark.parametrize(
    ("flavor", "folder"),
    [
        ("gym/Foo-v1?file=/../../escaped", "gym/Foo-v1,file=%2F..%2F..%2Fescaped"),
        ("androidenv/../x.textproto", "androidenv%2F%2E%2E%2Fx.textproto"),
        ("androidenv//tmp/x.textproto", "androidenv%2F%2Ftmp%2Fx.textproto"),
        ("gym/..", "gym%2F%2E%2E"),
        ("../x", "%2E%2E%2Fx"),
        ("catch@..?x=1", "catch@..,x=1"),
        ("gym/a%2Fb", "gym/a%252Fb"),
        ("envpool/Jumanji/Snake-v1", "envpool/Jumanji/Snake-v1"),
        ("catch?ball_radius=20&downsample=8", "catch,ball_radius=20,downsample=8"),
    ],
)
def test_a_key_stays_below_runs(flavor: str, folder: str, tmp_path: Path) -> None:
    chosen = suite(
        transfers=[{"source": "catch", "target": flavor}], conditions=["random"], seeds=1
    )
    (run,) = plan(chosen).runs
    assert run.key == f"{folder}/random/seed0"
    place = (SuiteFolder(tmp_path).run_folder(run).path).resolve()
    assert place.is_relative_to(tmp_path / "runs")


def test_two_flavors_never_share_a_key() -> None:
    pairs = [
        ("catch?k=x,length=1", "catch?k=x&length=1"),
        ("gym/a?x=b/c", "gym/a?x=b%2Fc"),
        ("gym/..", "gym/%2E%2E"),
        (f"gym/{'x' * 400}a", f"gym/{'x' * 400}b"),
    ]
    for pair in pairs:
        chosen = suite(
            transfers=[{"source": "catch", "target": flavor} for flavor in pair],
            conditions=["random"],
            seeds=1,
        )
        keys = [run.key for run in plan(chosen).runs]
        assert len(set(keys)) == 2, pair
        assert all(len(name.encode()) < 255 for key in keys for name in key.split("/"))


def test_keys_differ_in_more_than_upper_case() -> None:
    rule = "embedding=source:frozen,head=source:trained"
    chosen = suite(update_rules={"New": rule, "new": rule}, conditions=["New", "new"])
    with pytest.raises(InputError, match="differ in upper and lower case only"):
        plan(chosen)
    flavors = [{"source": "catch", "target": target} for target in ("gym/Foo-v0", "gym/foo-v0")]
    with pytest.raises(InputError, match="put the flavors into two suites"):
        plan(suite(transfers=flavors, conditions=["random"]))


def test_two_runs_that_differ_never_share_a_folder() -> None:
    rule = "embedding=source:frozen,head=source:trained"
    chosen = suite(
        transfers=[{"source": "gym", "target": "gym/a"}],
        update_rules={"update_all-from-gym": rule},
        conditions=["update_all", "update_all-from-gym"],
    )
    keys = [run.key for run in plan(chosen).runs]
    assert len(set(keys)) == len(keys)


def test_pretrainings_come_before_what_starts_from_them() -> None:
    seen: set[str] = set()
    for run in plan(load_suite("catch-paper")).runs:
        assert run.source_key is None or run.source_key in seen
        seen.add(run.key)


def test_without_a_condition_that_needs_it_nothing_is_pretrained() -> None:
    assert set(runs(conditions=["random", "scratch"])) == {
        "catch@large_ball/random/seed0",
        "catch@large_ball/scratch/seed0",
    }


def test_rules_of_ones_own_are_planned_by_what_they_say() -> None:
    planned = runs(
        update_rules={
            "probe": "embedding=source:frozen,head=random:trained",
            "fresh": "embedding=random:trained,head=random:trained",
            "noise": "embedding=random:frozen,head=random:frozen",
        },
        conditions=["probe", "fresh", "noise"],
    )
    assert {key: (run.spec.steps, run.source_key) for key, run in planned.items()} == {
        "catch/pretrain/seed0": (400, None),
        "catch@large_ball/probe/seed0": (360, "catch/pretrain/seed0"),
        "catch@large_ball/fresh/seed0": (360, None),
        "catch@large_ball/noise/seed0": (0, None),
    }


def test_the_resolved_suite_plans_the_same_runs(tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(to_yaml(suite(seeds=[1, 5])))
    again = {run.key: run.spec.content_hash for run in plan(load_suite(path)).runs}
    assert again == hashes(seeds=[1, 5])


def test_another_pretraining_is_another_transfer_and_nothing_else() -> None:
    before, after = hashes(), hashes(pretrain_steps=401)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {
        "catch/pretrain/seed0",
        *(
            f"catch@large_ball/{condition}/seed0"
            for condition in ("update_all", "freeze_embedding", "freeze_head", "freeze_all")
        ),
    }


def test_another_transfer_budget_leaves_the_pretraining_alone() -> None:
    before, after = hashes(), hashes(transfer_steps=361)
    changed = {key.split("/")[-2] for key in before if before[key] != after[key]}
    assert changed == {"scratch", "update_all", "freeze_embedding", "freeze_head"}


def test_more_seeds_conditions_and_another_report_change_no_run() -> None:
    before = hashes()
    wider = hashes(
        seeds=3,
        transfers=[
            {"source": "catch", "target": "catch@red_background"},
            {"source": "catch", "target": "catch@large_ball"},
        ],
        report={"num_bins": 7, "normalize": "scratch"},
        name="another",
    )
    assert before.items() <= wider.items()


def test_agent_environment_and_evaluation_change_every_run() -> None:
    before = hashes()
    for changes in (
        {"agent": {"discount": 0.5}},
        {"environment": {"num_envs": 5, "downsample": 16, "frames_per_step": 8}},
        {"evaluation": {"episodes": 5}},
    ):
        after = hashes(**changes)
        assert not set(before.values()) & set(after.values())


def test_what_does_not_decide_a_result_is_no_field_of_a_run() -> None:
    # Device, threads, cadence and folders live in Runtime, which nothing hashes. Milestones are
    # policies that a run leaves, and others start from them.
    assert set(RunSpec.__struct_fields__) == {
        "condition", "flavor", "source", "source_hash", "update_rule", "seed", "steps",
        "environment", "agent", "evaluation", "results_version", "source_step", "milestones",
    }  # fmt: skip


def test_catch_rules_has_the_runs_of_catch_quick_and_nine_more_rules() -> None:
    quick, rules = (
        {run.key: run.spec.content_hash for run in plan(load_suite(name)).runs}
        for name in ("catch-quick", "catch-rules")
    )
    assert quick.items() <= rules.items()
    conditions = [name for name in load_suite("catch-rules").conditions if name in NAMED_RULES]
    assert set(conditions) - {"scratch", "freeze_all"} == set(NAMED_RULES) - {
        "scratch", "freeze_all", "random_features", "reset_value", "norms_only",
    }  # fmt: skip
    assert len(conditions) - 2 == 12


def test_conditions_start_from_milestones_in_runs_of_their_own() -> None:
    kept = hashes(milestones=3)
    asked = hashes(milestones=3, source_steps="all")
    own = {key for key in asked if key not in kept}
    assert {key: asked[key] for key in kept} == kept  # so they can be asked for later
    conditions = ("update_all", "freeze_embedding", "freeze_head", "freeze_all")
    assert own == {
        f"catch@large_ball/{condition}-after-{step}/seed0"
        for condition in conditions
        for step in (4, 40)
    }
    assert len(set(asked.values())) == len(asked)
    last = [run.key for run in plan(suite(milestones=3, source_steps="all")).runs][-8:]
    assert set(last) == own


def test_what_is_not_used_is_not_in_the_hash() -> None:
    plain = runs()["catch/pretrain/seed0"].spec
    assert not {"milestones", "source_step"} & set(to_plain(plain))
    assert to_plain(runs(milestones=2)["catch/pretrain/seed0"].spec)["milestones"] == (4, 400)
