"""The asynchronous clock with actors that run in this process, so that every result is exact."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from recorder import STEPS, Recorder, agrees, make_config, make_policy
from remote_runs import actor_process

from thaw.acting.remote.messages import ActorsFailed, Arrays, Delivery
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, check_shares
from thaw.config.update_rule import UpdateRule
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EpisodeStats, Trajectory
from thaw.policy.update_rules import apply_update_rule
from thaw.training.asynchronous import Asynchronous


class HeldActors:
    """Actors that take turns, with weights that are some publications old.

    Args:
        sizes: Environments of each actor.
        hold: Age of the weights, in publications before the newest.
        frozen: Whether embeddings are sent.
    """

    def __init__(
        self, sizes: tuple[int, ...], hold: int, config: AgentConfig, frozen: bool = False
    ) -> None:
        firsts = np.cumsum([0, *sizes])
        self.processes = [
            actor_process(number, size, int(first), config, frozen)
            for number, (size, first) in enumerate(zip(sizes, firsts, strict=False))
        ]
        self.turns = cycle(self.processes)
        self.hold = hold
        self.published: list[tuple[dict[str, NDArray[Any]], int]] = []
        self.delivered: list[Delivery] = []
        self.held: list[dict[str, NDArray[Any]]] = []
        """The weights that each delivery's actor held."""
        self.num_restarts = 0
        self.is_closed = False

    def publish(self, weights: Arrays, version: int) -> None:
        self.published.append(({n: a.copy() for n, a in weights.items()}, version))

    def receive(self) -> Delivery:
        newest = len(self.published) - 1
        one = next(self.turns)
        delivery = one.collect(*self.published[max(0, newest - self.hold)])
        self.held.append({name: t.numpy().copy() for name, t in one.policy.parts()})
        assert isinstance(delivery, Delivery), delivery
        copied = {name: array.copy() for name, array in delivery.unroll.items()}
        self.delivered.append(delivery._replace(unroll=copied))
        return self.delivered[-1]

    def close(self) -> None:
        self.is_closed = True


def simulate(
    sizes: tuple[int, ...] = (2, 1), hold: int = 0, num_envs: int = 3, num_updates: int = 6
) -> tuple[Recorder, HeldActors, Asynchronous, list[Any]]:
    config = make_config(clock="asynchronous")
    learner = Recorder(make_policy(config), config)
    actors = HeldActors(sizes, hold, config)
    clock = Asynchronous(actors, learner, num_envs)
    updates = [clock.update(last=False) for _ in range(num_updates)]
    clock.close()
    return learner, actors, clock, updates


def test_every_column_was_acted_with_the_weights_of_its_version() -> None:
    learner, actors, _, updates = simulate(hold=2)
    versions = [d.version for d in actors.delivered for _ in range(d.unroll["actions"].shape[1])]
    for k, trajectory in enumerate(learner.trajectories):
        for column in range(3):
            version = versions[3 * k + column]
            assert version == max(0, k - 2)
            for j, policy in enumerate(learner.policies):
                assert agrees(policy, trajectory.columns(column, column + 1)) == (j == version), (
                    k,
                    j,
                )
        assert updates[k].metrics["mean_policy_lag"] == min(k, 2)
        assert updates[k].metrics["max_policy_lag"] == min(k, 2)


def test_weights_arrive_at_the_actors() -> None:
    learner, actors, _, _ = simulate()
    for delivery, held in zip(actors.delivered, actors.held, strict=True):
        policy = learner.policies[delivery.version]
        assert all(np.array_equal(held[name], t.numpy()) for name, t in policy.parts())
    assert len({held["head.policy.bias"].tobytes() for held in actors.held}) == 6


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 1), (3, 2), (5,), (1, 4)])
def test_no_column_is_lost_or_learned_from_twice(sizes: tuple[int, ...]) -> None:
    """Whatever actors send, a batch has three columns, in the order of arrival."""
    learner, actors, clock, _ = simulate(sizes, num_updates=7)
    for name in learner.trajectories[0].tensors():
        sent = np.concatenate([d.unroll[name] for d in actors.delivered], axis=1)
        learned = torch.cat([t.tensors()[name] for t in learner.trajectories], dim=1)
        assert learned.shape[1] == 3 * 7
        np.testing.assert_array_equal(learned, sent[:, : 3 * 7])
        assert sent.shape[1] - 3 * 7 < max(sizes), "no request is wasted"
    assert clock.learned_steps == 3 * 7 * STEPS
    assert learner.steps == [3 * STEPS * k for k in range(7)]


def test_a_batch_of_two_versions_has_the_lag_of_each_column() -> None:
    _, _, _, updates = simulate((2,), num_envs=3, num_updates=2)
    # The second batch begins with a column that was left over from before the first update.
    assert updates[0].metrics["max_policy_lag"] == 0
    assert updates[1].metrics["mean_policy_lag"] == pytest.approx(1 / 3)
    assert updates[1].metrics["max_policy_lag"] == 1


def test_steps_spent_on_resets_are_not_counted() -> None:
    config = make_config(clock="asynchronous")
    learner = Recorder(make_policy(config), config)
    actors = HeldActors((1,), 0, config)
    clock = Asynchronous(actors, learner, 1)
    receive = actors.receive

    def with_resets() -> Delivery:
        delivery = receive()
        delivery.unroll["valid"][1:3] = False
        return delivery

    actors.receive = with_resets  # type: ignore[method-assign]
    assert [clock.update(last=False).num_steps for _ in range(3)] == [STEPS - 2] * 3
    assert clock.learned_steps == 3 * (STEPS - 2)
    assert learner.steps == [0, STEPS - 2, 2 * (STEPS - 2)]


def test_episodes_come_with_the_run_s_count_and_the_environment_s_number() -> None:
    _, _, _, updates = simulate((2, 1), num_envs=3)
    episodes: list[EpisodeStats] = [episode for update in updates for episode in update.episodes]
    for k, update in enumerate(updates):
        assert {episode.step for episode in update.episodes} == {3 * STEPS * (k + 1)}
    assert {episode.environment for episode in episodes} == {0, 1, 2}
    # Each environment plays 3, 1, 4, 3, ...: 30 steps are eleven episodes and two steps more.
    assert len(episodes) == 3 * 11
    assert sum(episode.length_steps for episode in episodes) == 3 * 28


def test_actors_send_embeddings_where_the_embedding_is_frozen() -> None:
    config = make_config(clock="asynchronous")
    policy = make_policy(config)
    source = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    apply_update_rule(policy, UpdateRule("freeze_embedding"), source)
    actors = HeldActors((2, 1), 0, config, frozen=True)
    clock = Asynchronous(actors, Learner(policy, config, 100), 3)
    clock.update(last=True)
    assert "observations" not in actors.delivered[0].unroll
    assert actors.delivered[0].unroll["embeddings"].shape == (STEPS + 1, 2, config.embedding_size)
    assert clock.learned_steps == 3 * STEPS


@pytest.mark.parametrize(
    ("text", "sends_embeddings", "moved"),
    [
        ("embedding=source:frozen,head=source:trained", True, [False] * 4),
        (
            f"embedding=source:trained@{6 * STEPS},head=source:trained",
            False,
            [False] * 2 + [True] * 2,
        ),
        (
            f"embedding=source:frozen@{6 * STEPS},head=source:trained",
            False,
            [True] * 2 + [False] * 2,
        ),
    ],
)
def test_actors_send_observations_where_the_embedding_ever_trains(
    text: str, sends_embeddings: bool, moved: list[bool]
) -> None:
    config = make_config(clock="asynchronous")
    policy = make_policy(config)
    source = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    apply_update_rule(policy, UpdateRule(text), source, steps=1000)
    assert policy.embedding_never_trains == sends_embeddings
    actors = HeldActors((2, 1), 0, config, frozen=policy.embedding_never_trains)
    clock = Asynchronous(actors, Learner(policy, config, 1000), 3)
    found = []
    for _ in range(4):
        before = [p.detach().clone() for p in policy.embedding.parameters()]
        clock.update(last=False)
        after = list(policy.embedding.parameters())
        found.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
    assert found == moved


# ------------------------------------------------------------------------------------ V-trace


def on_policy(learner: Learner, policy: Policy, trajectory: Trajectory) -> Trajectory:
    """Forge the unroll as if this policy had acted: all importance weights are 1."""
    assert trajectory.observations is not None
    output = policy.unroll(
        policy.embed(trajectory.observations), trajectory.first, trajectory.last_actions,
        trajectory.last_rewards, trajectory.state,
    )  # fmt: skip
    forged: dict[str, Any] = trajectory.tensors() | {"behavior_logits": output.logits[:-1]}
    return Trajectory(**({"embeddings": None} | forged))


@pytest.mark.parametrize("hold", [0, 1, 4])
def test_old_weights_are_corrected_for_exactly_where_they_are_old(hold: int) -> None:
    recorder, _, _, updates = simulate(hold=hold, num_updates=8)
    for k in range(8):
        policy, trajectory = recorder.policies[k], recorder.trajectories[k]
        learner = Learner(policy, recorder.config, 100)
        with torch.no_grad():
            true = learner.losses(trajectory)
            forged = learner.losses(on_policy(learner, policy, trajectory))
        assert forged.mean_rho == pytest.approx(1, abs=1e-5)
        is_old = min(hold, k) > 0
        for name in ("policy", "baseline"):  # the advantages, and the targets
            same = torch.isclose(getattr(true, name), getattr(forged, name), rtol=1e-5, atol=1e-6)
            assert bool(same) == (not is_old), (k, name)
        rho = float(updates[k].metrics["mean_rho"])
        assert (abs(rho - 1) > 1e-4) == is_old, k


# --------------------------------------------------------------------------- the clock's life


def test_a_failure_leaves_the_learner_between_two_updates() -> None:
    config = make_config(clock="asynchronous")
    learner = Recorder(make_policy(config), config)
    actors = HeldActors((1, 1), 0, config)
    clock = Asynchronous(actors, learner, 2)
    clock.update(last=False)
    before = {name: tensor.clone() for name, tensor in learner.policy.parts()}
    receive, left = actors.receive, [1]

    def fail() -> Delivery:
        if not left:
            raise ActorsFailed("all are gone")
        left.pop()
        return receive()

    actors.receive = fail  # type: ignore[method-assign]
    with pytest.raises(ActorsFailed, match="all are gone"):
        clock.update(last=False)
    assert (learner.num_updates, clock.learned_steps) == (1, 2 * STEPS)
    for name, tensor in learner.policy.parts():
        assert torch.equal(tensor, before[name]), name
    clock.close()
    assert actors.is_closed


def test_a_checkpoint_keeps_only_the_count_of_replaced_actors() -> None:
    _, actors, clock, updates = simulate()
    assert updates[-1].metrics["actor_restarts"] == 0
    actors.num_restarts = 3
    state = clock.get_state()
    assert all(name.startswith("clock/") for name in state)
    config = make_config(clock="asynchronous")
    other = HeldActors((1,), 0, config)
    resumed = Asynchronous(other, Learner(make_policy(config), config, 100), 1)
    resumed.set_state(state)
    other.num_restarts = 1
    assert resumed.update(last=True).metrics["actor_restarts"] == 4


def test_dropped_steps_of_real_time_environments_add_up() -> None:
    _, actors, clock, updates = simulate(num_updates=2)
    assert updates[-1].metrics["dropped_steps"] == 0
    for process in actors.processes:
        process.actor.env.dropped_steps = 7  # a total of that environment
    clock.receive_batch()
    assert clock.dropped_steps == 0, "they were dropped before the unroll"
    for process in actors.processes:
        actor = process.actor

        def observe(*args: Any, actor: Any = actor, observe: Any = actor.observe) -> Any:
            actor.env.dropped_steps += 1
            return observe(*args)

        actor.observe = observe
    clock.receive_batch()
    config = make_config(clock="asynchronous")
    per_unroll = config.unroll_length
    assert clock.dropped_steps == 2 * per_unroll
    other = Asynchronous(actors, Learner(make_policy(config), config, 100), 1)
    other.set_state(clock.get_state())
    assert other.dropped_steps == 2 * per_unroll


def test_the_time_that_the_learner_waits_is_measured() -> None:
    import time

    config = make_config(clock="asynchronous")
    for is_actor_slow in (True, False):
        learner = Recorder(make_policy(config), config)
        actors = HeldActors((1,), 0, config)
        clock = Asynchronous(actors, learner, 1)
        clock.update(last=False)
        slow, name = (actors, "receive") if is_actor_slow else (learner, "update")
        method = getattr(slow, name)

        def slowly(*arguments: Any, method: Any = method) -> Any:
            time.sleep(0.3)
            return method(*arguments)

        setattr(slow, name, slowly)
        fraction = float(clock.update(last=False).metrics["learner_wait_fraction"])
        assert (0.6 < fraction <= 1) if is_actor_slow else (0 <= fraction < 0.4)


def test_more_actors_than_environments_are_refused() -> None:
    message = (
        "agent.actors is 5 and environment.num_envs 4; each actor needs an environment: set "
        "num_envs to at least 5, or actors to at most 4"
    )
    config = make_config(clock="asynchronous")
    with pytest.raises(InputError) as caught:
        check_shares(config, 4)
    assert str(caught.value) == message
    with pytest.raises(InputError, match="set num_envs to at least 5"):
        RunSpec(
            condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"),
            seed=0, steps=1, agent=config, environment={"num_envs": 4},
        )  # fmt: skip
    check_shares(config, 5)
    check_shares(make_config(clock="lockstep"), 1)


def test_groups_of_different_sizes_and_groups_of_asynchronous_actors_are_refused() -> None:
    check_shares(make_config(env_groups=2), 6)
    with pytest.raises(InputError, match=r"env_groups is 2 and environment\.num_envs 5"):
        check_shares(make_config(env_groups=2), 5)
    with pytest.raises(InputError, match="actors are already groups: set env_groups to 1"):
        check_shares(make_config(env_groups=2, clock="asynchronous"), 10)
