"""Parts that begin or end to train within a run: exactly then, in every clock, also if resumed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import (
    ENVS,
    RUNTIME,
    UNROLL,
    UPDATES,
    assert_same_outcome,
    changed,
    outcome,
    stop_after,
    transfer,
)

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.files.checkpoint import (
    STATE_FILE,
    STATE_JSON,
    load_policy,
    load_tensors,
    load_training_state,
    save_checkpoint,
)
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.trajectory import Trajectory
from thaw.policy.update_rules import apply_update_rule
from thaw.training.build import make_training_envs
from thaw.training.clocks import Lockstep, Overlapped, below
from thaw.training.progress import Stopped
from thaw.training.run import build_policy, build_teacher, execute_run

Tensors = dict[str, torch.Tensor]
CLOCKS = {"lockstep": Lockstep, "overlapped": Overlapped}
BATCH = 10 * 3
SMALL: dict[str, Any] = {
    "embedding_size": 16, "lstm_size": 8, "fc_size": 8, "unroll_length": 10,
    "learning_rate": 1e-3, "learning_rate_schedule": "constant",
}  # fmt: skip
BEGINS = f"embedding=source:trained@{2 * BATCH + 1},head=source:trained"
ENDS = f"embedding=source:frozen@{2 * BATCH + 1},head=source:trained"
"""The change comes within update 2 (of 0, 1, 2, ...), so it holds from update 3 on."""


def tensors_of(policy: Policy) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in policy.parts()}


def clock_of(
    kind: str, rule: str, embedding: str = "impala_shallow"
) -> tuple[Lockstep | Overlapped, Policy]:
    torch.manual_seed(1)
    agent = AgentConfig(**SMALL, embedding=embedding)
    policy = Policy((30, 20, 3), 54, agent)
    apply_update_rule(policy, UpdateRule(rule), tensors_of(policy), steps=1000)
    env = make_env("catch", 3, downsample=16, frames_per_step=32)
    learner = Learner(policy, agent, 10_000)
    clock = CLOCKS[kind](lambda acting: Collector([Actor(env, acting, seed=0)]), learner)
    assert isinstance(clock, Lockstep | Overlapped)
    return clock, policy


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("rule", [BEGINS, ENDS])
def test_a_part_is_bitwise_frozen_until_its_step_or_from_it_on(clock: str, rule: str) -> None:
    running, policy = clock_of(clock, rule)
    moved = []
    for _ in range(6):
        before = tensors_of(policy)
        running.update(last=False)
        changed = {n.split(".")[0] for n, t in policy.parts() if not torch.equal(t, before[n])}
        moved.append("embedding" in changed)
        assert "head" in changed
    running.close()
    running.learner.frozen.check()
    expected = [False] * 3 + [True] * 3
    assert moved == (expected if rule == BEGINS else [not value for value in expected])


def learned_from(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each update of any learner learned from: the actor's embeddings, or observations."""
    seen: list[str] = []
    update = Learner.update

    def watched(learner: Learner, trajectory: Trajectory, steps: int, graph: Any = None) -> Any:
        kind = "observations" if trajectory.embeddings is None else "embeddings"
        seen.append("graph" if graph is not None else kind)
        return update(learner, trajectory, steps, graph)

    monkeypatch.setattr(Learner, "update", watched)
    return seen


@pytest.mark.parametrize(
    ("clock", "rule", "expected"),
    [
        ("lockstep", BEGINS, ["embeddings"] * 3 + ["graph"] * 3),
        ("lockstep", ENDS, ["graph"] * 3 + ["embeddings"] * 3),
        ("overlapped", BEGINS, ["embeddings"] * 3 + ["observations"] * 3),
        # Unroll 3 was collected while update 2 moved the embedding.
        ("overlapped", ENDS, ["observations"] * 4 + ["embeddings"] * 2),
    ],
)
def test_the_shortcuts_begin_and_end_at_the_step(
    clock: str, rule: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = learned_from(monkeypatch)
    running, _ = clock_of(clock, rule)
    for _ in range(6):
        running.update(last=False)
    running.close()
    assert seen == expected


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("rule", [BEGINS, ENDS])
def test_with_the_shortcuts_it_learns_what_the_long_way_teaches(
    clock: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The long way: every unroll holds observations, and the learner embeds them."""
    learned: list[Tensors] = []
    empty = Collector.empty_trajectory
    for shortcuts in (True, False):
        if not shortcuts:
            long_way = "thaw.training.clocks.can_learn_from_acting"
            monkeypatch.setattr(long_way, lambda learner: False)
            monkeypatch.setattr(
                Collector, "empty_trajectory",
                lambda self, config, store_embeddings: empty(self, config, store_embeddings=False),
            )  # fmt: skip
        seen = learned_from(monkeypatch)
        running, policy = clock_of(clock, rule)
        for _ in range(6):
            running.update(last=False)
        running.close()
        learned.append(tensors_of(policy))
        assert (set(seen) == {"observations"}) != shortcuts
    for name, tensor in learned[0].items():
        torch.testing.assert_close(tensor, learned[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("rule", [BEGINS, ENDS])
def test_running_statistics_move_while_their_module_trains(clock: str, rule: str) -> None:
    running, policy = clock_of(clock, rule, "user_embedding:batch_norm")
    counts = []
    for _ in range(6):
        running.update(last=False)
        counts.append(int(policy.get_buffer("embedding.norm.num_batches_tracked")))
    running.close()
    assert counts == ([0, 0, 0, 1, 2, 3] if rule == BEGINS else [1, 2, 3, 3, 3, 3])


def test_a_change_within_a_frozen_span_is_noticed_before_the_span_ends() -> None:
    running, policy = clock_of("lockstep", BEGINS)
    running.update(last=False)
    with torch.no_grad():
        policy.get_parameter("embedding.linear.bias").add_(1e-7)
    running.update(last=False)
    running.update(last=False)
    with pytest.raises(RuntimeError, match=r"frozen tensor 'embedding\.linear\.bias' changed"):
        running.update(last=False)
    running.close()


def test_a_change_in_a_later_frozen_span_is_noticed() -> None:
    running, policy = clock_of("lockstep", ENDS)
    for _ in range(4):
        running.update(last=False)
    running.learner.frozen.check()
    with torch.no_grad():
        policy.get_parameter("embedding.linear.bias").add_(1e-7)
    with pytest.raises(RuntimeError, match=r"frozen tensor 'embedding\.linear\.bias' changed"):
        running.learner.frozen.check()
    running.close()


# ------------------------------------------------------------------------------------ whole runs

N = 5 * UNROLL * ENVS
SCHEDULES = {
    "begins": f"embedding=source:trained@{N},head=source:trained",
    "ends": f"embedding=source:frozen@{N - 7}:lr=0.5,head=source:trained:pull=2",
    "both": f"embedding=source:trained@{N},head=source:trained,head.fc=source:frozen@50%",
    "warm up": "critic_warm_up",
    "optimizer": (
        f"embedding=source:trained@{N},head=source:trained,head.value=random:trained,"
        "optimizer=source"
    ),
    "teacher": (f"embedding=source:frozen@{N},head=random:trained,teacher=0.5:decay=50%:floor=0.1"),
}


@pytest.mark.parametrize(
    ("name", "clock"),
    [
        pytest.param(name, clock, marks=[pytest.mark.slow] * (clock != list(CLOCKS)[i % 2]))
        for i, name in enumerate(SCHEDULES)
        for clock in CLOCKS
    ],
)
def test_stopped_and_resumed_at_every_update_equals_unbroken(
    tmp_path: Path, pretrained: RunFolder, name: str, clock: str
) -> None:
    agent: dict[str, Any] = {"clock": clock}
    if name != "optimizer":  # whose momentum is that of the pretraining
        agent["rmsprop_momentum"] = 0.5
    spec = changed(transfer(SCHEDULES[name]), agent=agent)
    folder, unbroken = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "unbroken")
    for _ in range(UPDATES - 1):
        with pytest.raises(Stopped):
            execute_run(spec, folder, RUNTIME, source=pretrained.path, should_stop=stop_after(1))
    execute_run(spec, folder, RUNTIME, source=pretrained.path)
    execute_run(spec, unbroken, RUNTIME, source=pretrained.path)
    assert_same_outcome(folder, unbroken)


def test_a_checkpoint_whose_frozen_part_was_exchanged_does_not_resume(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    spec, folder = transfer(SCHEDULES["ends"]), RunFolder(tmp_path)
    with pytest.raises(Stopped):
        execute_run(spec, folder, RUNTIME, source=pretrained.path, should_stop=stop_after(8))
    # A whole checkpoint with right checksums, but with another embedding.
    state, counters = load_training_state(folder.checkpoint)
    assert set(counters["frozen"]) == {
        n for n in load_tensors(folder.checkpoint / POLICY_FILE) if n.startswith("embedding.")
    }
    policy = load_policy(folder.path)
    with torch.no_grad():
        policy.get_parameter("embedding.linear.bias").add_(1e-7)
    save_checkpoint(folder, policy, state, counters)
    with pytest.raises(RuntimeError, match=r"frozen tensor 'embedding\.linear\.bias' changed"):
        execute_run(spec, folder, RUNTIME, source=pretrained.path)


def test_a_part_of_the_source_begins_with_the_state_of_the_source_s_optimizer(
    pretrained: RunFolder,
) -> None:
    spec = transfer(SCHEDULES["optimizer"])
    env = make_training_envs(spec, "cpu")[0]
    policy = build_policy(spec, env, pretrained.path)
    env.close()
    learner = Learner(policy, spec.agent, spec.steps)
    saved, _ = load_training_state(pretrained.checkpoint)
    theirs = below("optimizer/", saved)

    def check(begun: set[str]) -> None:
        ours = learner.state_tensors()
        assert {key.split(".")[0] for key in ours} == begun
        for key, tensor in ours.items():
            if key.startswith("head.value."):
                assert torch.equal(tensor, torch.ones_like(tensor)), "fresh, as its weights"
            else:
                assert torch.equal(tensor, theirs[key]), key
                assert not torch.equal(tensor, torch.ones_like(tensor)), key

    check({"head"})
    learner.advance(N)
    check({"head", "embedding"})


def test_the_teacher_is_the_source_and_shows_in_what_is_learned(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    policies = []
    for teaches in ("", ",teacher=5"):
        rule = UpdateRule(f"embedding=source:frozen,head=random:trained{teaches}")
        spec = changed(transfer("freeze_embedding"), update_rule=rule)
        folder = RunFolder(tmp_path / f"with{teaches}")
        execute_run(spec, folder, RUNTIME, source=pretrained.path)
        policies.append(outcome(folder)["policy"])
    assert policies[0] != policies[1]
    env = make_training_envs(spec, "cpu")[0]
    teacher = build_teacher(spec, build_policy(spec, env, pretrained.path), pretrained.path)
    env.close()
    assert teacher is not None
    source = load_tensors(pretrained.checkpoint / POLICY_FILE)
    for name, tensor in teacher.policy.parts():
        assert torch.equal(tensor, source[name]), name
        assert not tensor.requires_grad
    assert not any(module.training for module in teacher.policy.modules())


def test_an_optimizer_that_is_not_the_source_s_is_refused(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    spec = transfer(SCHEDULES["optimizer"])
    alone = tmp_path / "alone"
    shutil.copytree(pretrained.checkpoint, alone)
    for name in (STATE_FILE, STATE_JSON, "checksums.json"):
        (alone / name).unlink()
    for each, source, said in (
        (spec, alone, "has no training_state.safetensors"),
        (changed(spec, agent={"optimizer": "adam"}), pretrained.path, "agent.optimizer=rmsprop,"),
        (changed(spec, agent={"rmsprop_momentum": 0.5}), pretrained.path, "momentum=0.0, this run"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            execute_run(each, RunFolder(tmp_path / "run"), RUNTIME, source=source)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_update_all_with_every_option_neutral_is_update_all(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    neutral = "embedding=source~0:trained@0:lr=1:pull=0,head=source~0.0:trained@0%:lr=1.0:pull=0"
    usual = transfer("update_all")
    spec = changed(usual, update_rule=UpdateRule(neutral))
    assert spec.content_hash == usual.content_hash
    folders = [RunFolder(tmp_path / "neutral"), RunFolder(tmp_path / "update_all")]
    for folder, each in zip(folders, (spec, usual), strict=True):
        execute_run(each, folder, RUNTIME, source=pretrained.path)
    assert_same_outcome(*folders)


def test_two_parts_with_the_same_rate_by_other_words_learn_the_same_bits(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    """Several groups and a pull of next to nothing move no bit of what update_all learns."""
    usual = transfer("update_all")
    tiny = "embedding=source:trained:pull=1e-30,head=source:trained:lr=0.9999999999999999"
    spec = changed(usual, update_rule=UpdateRule(tiny))
    assert spec.content_hash != usual.content_hash
    folders = [RunFolder(tmp_path / "tiny"), RunFolder(tmp_path / "update_all")]
    for folder, each in zip(folders, (spec, usual), strict=True):
        execute_run(each, folder, RUNTIME, source=pretrained.path)
    assert outcome(folders[0])["policy"] == outcome(folders[1])["policy"]


def test_wrong_rules_write_nothing(tmp_path: Path, pretrained: RunFolder) -> None:
    for text, said in (
        ("embedding=source:frozen,embedding[9]=source:trained,head=source:trained", "its 3 blocks"),
        ("norms_only", "normalization layers"),
        ("embedding=source:trained@9,head=source:frozen", "trains nothing from step 0 on"),
        ("embedding=source:frozen,embedding.*.gamma=source:trained,head=source:trained", "gamma"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            execute_run(
                transfer(text), RunFolder(tmp_path / "run"), RUNTIME, source=pretrained.path
            )
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists(), text
