"""Groups of environments that act side by side fill the same unroll as if each were alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
import torch
from counting_env import EMBEDDING, NUM_ACTIONS, make_counting_env
from gymnasium.vector import AutoresetMode

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EpisodeStats

T = 7
CONFIG = AgentConfig(
    embedding=EMBEDDING, embedding_size=8, lstm_size=6, fc_size=8, unroll_length=T
)  # fmt: skip
LENGTHS = (((3, 1, 4), (2, 5)), ((6,), (1, 1, 9)))
"""Of the episodes, by group and environment."""
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


def make_policy() -> Policy:
    torch.manual_seed(0)
    return Policy((4,), NUM_ACTIONS, CONFIG).eval().requires_grad_(False)


def make_actors(
    policy: Policy,
    mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    on_step: Sequence[Callable[[], None]] = (lambda: None, lambda: None),
) -> list[Actor]:
    return [
        Actor(
            make_counting_env(mode=mode, lengths=LENGTHS[group], on_step=on_step[group]),
            policy,
            seed=10 + group,
        )
        for group in range(2)
    ]


@pytest.mark.parametrize("slow_group", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_each_group_fills_its_columns_as_it_would_alone(
    mode: AutoresetMode, slow_group: int
) -> None:
    policy = make_policy()
    slow = [lambda: None, lambda: None]
    slow[slow_group] = lambda: time.sleep(0.0005)
    collector = Collector(make_actors(policy, mode, slow))
    unroll = collector.empty_trajectory(CONFIG, store_embeddings=False)
    alone = make_actors(policy, mode)
    expected = [empty_trajectory(actor, CONFIG, store_embeddings=False) for actor in alone]
    for _ in range(5):
        collector.collect(unroll, 0.9)
        for group, actor in enumerate(alone):
            collect(actor, expected[group], 0.9)
            columns = unroll.columns(2 * group, 2 * group + 2).tensors()
            for name, tensor in expected[group].tensors().items():
                assert torch.equal(columns[name], tensor), name
    collector.close()


@pytest.mark.parametrize("mode", MODES)
def test_episodes_are_counted_as_one_actor_of_all_environments_would(mode: AutoresetMode) -> None:
    """Counted here row by row: every environment makes a decision but on its resets' rows."""
    collector = Collector(make_actors(make_policy(), mode))
    unroll = collector.empty_trajectory(CONFIG, store_embeddings=False)
    step = 0
    for _ in range(5):
        episodes = collector.collect(unroll, 1.0)
        expected = []
        for t in range(T):
            step += int(unroll.valid[t].sum())
            ends = unroll.valid[t] & (unroll.discounts[t] == 0)
            expected += [(step, environment) for environment in ends.nonzero()[:, 0].tolist()]
        assert [(episode.step, episode.environment) for episode in episodes] == expected
    assert collector.num_steps == step > 0
    collector.close()


def test_the_network_looks_at_one_group_s_pictures_while_the_other_steps() -> None:
    """The first step of group 0 ends only when group 1 has decided for the third time."""
    decided = threading.Event()
    met: list[bool] = []

    def wait_once() -> None:
        if not met:
            met.append(decided.wait(60))

    class Counted(Policy):
        num_calls = 0

        def embed(self, observations: torch.Tensor) -> torch.Tensor:
            Counted.num_calls += 1
            if Counted.num_calls == 4:  # one of them is group 0's
                decided.set()
            return super().embed(observations)

    policy = Counted((4,), NUM_ACTIONS, CONFIG).eval().requires_grad_(False)
    collector = Collector(make_actors(policy, on_step=[wait_once, lambda: None]))
    collector.collect(collector.empty_trajectory(CONFIG, store_embeddings=False), 0.9)
    collector.close()
    assert met == [True]


def test_an_error_comes_out_when_no_group_writes_any_more() -> None:
    num_steps = 0

    def fail() -> None:
        raise OSError("emulator gone")

    def count() -> None:
        nonlocal num_steps
        time.sleep(0.002)
        num_steps += 1

    collector = Collector(make_actors(make_policy(), on_step=[fail, count]))
    unroll = collector.empty_trajectory(CONFIG, store_embeddings=False)
    with pytest.raises(OSError, match="emulator gone"):
        collector.collect(unroll, 0.9)
    before = num_steps
    time.sleep(0.05)
    assert num_steps == before > 0
    collector.close()


def test_the_state_of_every_group_comes_back() -> None:
    policy = make_policy()
    collector, other = Collector(make_actors(policy)), Collector(make_actors(policy))
    unroll = collector.empty_trajectory(CONFIG, store_embeddings=False)
    other_unroll = other.empty_trajectory(CONFIG, store_embeddings=False)
    collector.collect(unroll, 0.9)
    other.set_state(collector.get_state())
    ended: list[list[EpisodeStats]] = [
        collector.collect(unroll, 0.9),
        other.collect(other_unroll, 0.9),
    ]
    assert ended[0] == ended[1]
    for name, tensor in unroll.tensors().items():
        assert torch.equal(other_unroll.tensors()[name], tensor), name
    collector.close()
    other.close()


def test_groups_share_the_threads_and_closing_ends_theirs() -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        actors = make_actors(
            make_policy(), on_step=[lambda: seen.append(torch.get_num_threads())] * 2
        )
        collector = Collector(actors)
        collector.collect(collector.empty_trajectory(CONFIG, store_embeddings=False), 0.9)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
        collector.close()
    finally:
        torch.set_num_threads(before)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("group")]
