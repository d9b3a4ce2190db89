from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
import torch
from counting_env import EMBEDDING, NUM_ACTIONS, LuckEnv, make_counting_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.evaluation import evaluate
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.envs.families import make_env
from thaw.envs.spaces import Restorable
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy, UniformPolicy
from thaw.training.clocks import Lockstep
from thaw.trajectory import EpisodeStats, PolicyOutput, Trajectory

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
LENGTHS = ((3, 1, 4), (2, 5))
GAMMA = 0.9


def counting_config(**changes: Any) -> AgentConfig:
    sizes: dict[str, Any] = {
        "embedding": EMBEDDING, "embedding_size": 8, "lstm_size": 6, "fc_size": 8,
        "unroll_length": 4, "discount": GAMMA,
    }  # fmt: skip
    return AgentConfig(**(sizes | changes))


def counting_policy(config: AgentConfig) -> Policy:
    """A policy with strong opinions, so that a wrong input shows in its logits."""
    torch.manual_seed(0)
    policy = Policy((4,), NUM_ACTIONS, config).eval()
    with torch.no_grad():
        for parameter in policy.head.parameters():
            parameter.mul_(2)
    return policy


def copied(trajectory: Trajectory) -> Trajectory:
    tensors: dict[str, Any] = {n: t.clone() for n, t in trajectory.tensors().items()}
    return Trajectory(**({"embeddings": None, "observations": None} | tensors))


def collect_unrolls(
    actor: Actor, config: AgentConfig, num_unrolls: int
) -> tuple[list[Trajectory], list[EpisodeStats]]:
    unroll = empty_trajectory(actor, config, store_embeddings=False)
    trajectories, episodes = [], []
    for _ in range(num_unrolls):
        episodes += collect(actor, unroll, config.discount)
        trajectories.append(copied(unroll))
    return trajectories, episodes


class Seen(NamedTuple):
    """The observations of an unroll taken apart, [T+1, B] each."""

    environment: NDArray[Any]
    episode: NDArray[Any]
    steps: NDArray[Any]
    transitions: NDArray[Any]


def seen_in(trajectory: Trajectory) -> Seen:
    assert trajectory.observations is not None
    return Seen(*trajectory.observations.numpy().transpose(2, 0, 1))


def lengths_of(seen: Seen) -> NDArray[Any]:
    """Length of the episode that each observation belongs to, [T+1, B]."""
    pick = np.vectorize(
        lambda number, episode: LENGTHS[int(number)][int(episode) % len(LENGTHS[int(number)])]
    )
    lengths: NDArray[Any] = pick(seen.environment, seen.episode)
    return lengths


# ------------------------------------------------------------------------------- the tape


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("unroll_length", [1, 4, 7])
def test_every_row_of_an_unroll_holds_what_belongs_together(
    mode: AutoresetMode, unroll_length: int
) -> None:
    config = counting_config(unroll_length=unroll_length)
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1)
    trajectories, _ = collect_unrolls(actor, config, 12)
    for trajectory in trajectories:
        seen = seen_in(trajectory)
        valid = trajectory.valid.numpy()
        np.testing.assert_array_equal(seen.environment, np.tile([0, 1], (unroll_length + 1, 1)))
        # A reward names the observation it leads to and the action that earned it.
        led_to = (trajectory.rewards - trajectory.actions / 16).numpy()
        np.testing.assert_array_equal(led_to[valid], seen.transitions[1:][valid])
        np.testing.assert_array_equal(led_to[valid], seen.transitions[:-1][valid] + 1)
        # The next entry remembers exactly this step.
        assert torch.equal(trajectory.last_actions[1:], trajectory.actions)
        assert torch.equal(trajectory.last_rewards[1:], trajectory.rewards)
        # Episodes start where the environment says 0 steps, and nowhere else.
        np.testing.assert_array_equal(trajectory.first.numpy(), seen.steps == 0)
        # Only a step that ends its episode is not discounted further.
        ends = seen.steps + 1 == lengths_of(seen)
        expected = np.where(valid & ~ends[:-1], np.float32(GAMMA), 0)
        np.testing.assert_array_equal(trajectory.discounts.numpy(), expected)
        # A reset row is what follows an episode's last observation, in one mode of the three.
        over = seen.steps == lengths_of(seen)
        np.testing.assert_array_equal(valid, ~over[:-1])
        assert not trajectory.rewards.numpy()[~valid].any()
    all_valid = all(bool(trajectory.valid.all()) for trajectory in trajectories)
    assert all_valid == (mode != AutoresetMode.NEXT_STEP)
    assert any(bool((trajectory.discounts == 0).any()) for trajectory in trajectories)


@pytest.mark.parametrize("mode", MODES)
def test_unrolls_overlap_by_exactly_one_entry(mode: AutoresetMode) -> None:
    config = counting_config()
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1)
    trajectories, _ = collect_unrolls(actor, config, 8)
    for before, after in itertools.pairwise(trajectories):
        for name in ("observations", "first", "last_actions", "last_rewards"):
            assert torch.equal(getattr(before, name)[-1], getattr(after, name)[0]), name
    # All steps of the environments are there, once.
    for b in (0, 1):
        rows = [(t.rewards - t.actions / 16)[:, b][t.valid[:, b]].numpy() for t in trajectories]
        steps = np.concatenate(rows)
        np.testing.assert_array_equal(steps, np.arange(1, len(steps) + 1))


@pytest.mark.parametrize("mode", MODES)
def test_the_stored_state_is_what_the_actor_had_before_entry_0(mode: AutoresetMode) -> None:
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    trajectories, _ = collect_unrolls(actor, config, 8)
    state = policy.initial_state(2)
    for trajectory in trajectories:
        np.testing.assert_allclose(trajectory.state, state, rtol=1e-5, atol=1e-6)
        assert trajectory.observations is not None
        with torch.no_grad():
            state = policy.unroll(
                policy.embed(trajectory.observations[:-1]), trajectory.first[:-1],
                trajectory.last_actions[:-1], trajectory.last_rewards[:-1], state,
            ).state  # fmt: skip
        assert (state.abs() > 0.01).any(), "a state of zeros would prove nothing"


@pytest.mark.parametrize("mode", MODES)
def test_the_learner_s_logits_are_the_actor_s(mode: AutoresetMode) -> None:
    """Across ends of episodes and unrolls, and so every importance weight is 1."""
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    learner = Learner(policy, config, 1000)
    for trajectory in collect_unrolls(actor, config, 8)[0]:
        assert trajectory.observations is not None
        with torch.no_grad():
            output = policy.unroll(
                policy.embed(trajectory.observations), trajectory.first, trajectory.last_actions,
                trajectory.last_rewards, trajectory.state,
            )  # fmt: skip
        np.testing.assert_allclose(
            output.logits[:-1], trajectory.behavior_logits, rtol=1e-5, atol=1e-5
        )
        assert learner.losses(trajectory).mean_rho.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_in_lockstep_every_importance_weight_is_1_while_the_weights_change(
    mode: AutoresetMode,
) -> None:
    config = counting_config(learning_rate=0.01)
    learner = Learner(counting_policy(config), config, 1000)
    clock = Lockstep(lambda p: Collector([Actor(make_counting_env(mode=mode), p, seed=1)]), learner)
    for _ in range(8):
        before = learner.policy.head.policy.weight.clone()
        metrics = clock.update(last=False).metrics
        assert metrics["mean_rho"].item() == pytest.approx(1, abs=1e-5)
        assert (learner.policy.head.policy.weight - before).abs().max() > 1e-3


# --------------------------------------------------------------------------------- auto-reset


def learned_from(mode: AutoresetMode, num_steps: int) -> list[dict[str, NDArray[Any]]]:
    """The first transitions that each environment's learner sees, of a greedy actor."""
    config = counting_config()
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1, greedy=True)
    trajectories, _ = collect_unrolls(actor, config, num_steps)
    environments = []
    for b in (0, 1):
        rows: dict[str, list[NDArray[Any]]] = {}
        for trajectory in trajectories:
            valid = trajectory.valid[:, b]
            for name, tensor in trajectory.tensors().items():
                if name not in ("state", "valid", "last_actions", "last_rewards"):
                    column = tensor[: config.unroll_length, b][valid]
                    rows.setdefault(name, []).append(column.numpy())
            for name in ("last_actions", "last_rewards"):  # meaningless at the start of an episode
                tensor = getattr(trajectory, name) * ~trajectory.first
                rows.setdefault(name, []).append(tensor[:-1, b][valid].numpy())
        environments.append({n: np.concatenate(r)[:num_steps] for n, r in rows.items()})
    return environments


def test_all_reset_modes_learn_from_the_same_transitions() -> None:
    by_mode = {mode: learned_from(mode, 30) for mode in MODES}
    reference = by_mode[AutoresetMode.DISABLED]
    for mode in MODES:
        for expected, actual in zip(reference, by_mode[mode], strict=True):
            assert set(actual) == set(expected)
            for name, array in actual.items():
                assert len(array) == 30
                np.testing.assert_allclose(array, expected[name], rtol=1e-5, err_msg=name)


def test_a_reset_row_is_never_in_the_loss() -> None:
    """Two episodes of 3 steps: 8 rows where resets take one, 6 where they take none."""
    losses = {}
    for mode, rows in zip(MODES, (8, 6, 6), strict=True):
        config = counting_config(unroll_length=rows)
        policy = counting_policy(config)
        env = make_counting_env(mode=mode, lengths=((3,),))
        actor = Actor(env, policy, seed=0, greedy=True)
        trajectories, episodes = collect_unrolls(actor, config, 1)
        assert len(episodes) == 4
        assert actor.num_steps == 12
        losses[mode] = Learner(policy, config, 100).losses(trajectories[0])
    for mode in MODES[:2]:
        for name, value in losses[mode]._asdict().items():
            expected = getattr(losses[AutoresetMode.DISABLED], name)
            assert value.item() == pytest.approx(expected.item(), rel=1e-5), name


@pytest.mark.parametrize("mode", MODES)
def test_steps_and_episodes_are_counted_by_hand(mode: AutoresetMode) -> None:
    config = counting_config()
    env = make_counting_env(num_envs=1, mode=mode, lengths=((3, 1, 4),))
    actor = Actor(env, counting_policy(config), seed=1)
    trajectories, episodes = collect_unrolls(actor, config, 5)
    valid = torch.cat([trajectory.valid[:, 0] for trajectory in trajectories])
    rewards = torch.cat([trajectory.rewards[:, 0] for trajectory in trajectories])[valid]
    assert actor.num_steps == int(valid.sum())
    # Episodes of 3, 1, 4, 3, 1, 4 ... steps end at 3, 4, 8, 11, 12, 16, ...
    ends = [end for end in (3, 4, 8, 11, 12, 16, 19, 20) if end <= actor.num_steps]
    assert [episode.step for episode in episodes] == ends
    assert [episode.length_steps for episode in episodes] == list(np.diff([0, *ends]))
    for start, end, episode in zip([0, *ends], ends, episodes, strict=False):
        assert episode.environment == 0
        # Raw: these rewards are far beyond the clip of 1.
        assert episode.episode_return == pytest.approx(rewards[start:end].sum().item())
    assert max(episode.episode_return for episode in episodes) > 20


def test_episodes_name_their_environment_and_the_run_s_steps() -> None:
    env = make_counting_env(mode=AutoresetMode.SAME_STEP, lengths=((3,), (2,)))
    config = counting_config(unroll_length=6)
    actor = Actor(env, counting_policy(config), seed=1)
    _, episodes = collect_unrolls(actor, config, 1)
    found = [(e.step, e.environment, e.length_steps) for e in episodes]
    assert found == [(4, 1, 2), (6, 0, 3), (8, 1, 2), (12, 0, 3), (12, 1, 2)]


# --------------------------------------------------------------------------------- truncation


@pytest.mark.parametrize("mode", MODES)
def test_value_behind_a_truncated_step_by_hand(mode: AutoresetMode) -> None:
    config = counting_config(unroll_length=12)
    policy = counting_policy(config)
    # Episode 0 (3 steps) is truncated, episode 1 (2 steps) terminates, and so on.
    env = make_counting_env(1, mode, lengths=((3, 2),), truncated=(True, False))
    actor = Actor(env, policy, seed=1, config=counting_config(truncation="bootstrap"))
    trajectory = collect_unrolls(actor, config, 1)[0][0]
    assert trajectory.observations is not None
    seen = seen_in(trajectory)
    checked = 0
    state = trajectory.state
    for t in range(12):
        with torch.no_grad():
            state = policy.unroll(
                policy.embed(trajectory.observations[t : t + 1]), trajectory.first[t : t + 1],
                trajectory.last_actions[t : t + 1], trajectory.last_rewards[t : t + 1], state,
            ).state  # fmt: skip
        cut = bool(trajectory.valid[t, 0]) and seen.episode[t, 0] % 2 == 0 and seen.steps[t, 0] == 2
        expected = 0.0
        if cut:
            # What the environment showed before its reset: step 3 of this episode.
            final = torch.tensor([[[0.0, seen.episode[t, 0], 3.0, seen.transitions[t, 0] + 1]]])
            with torch.no_grad():
                value = policy.unroll(
                    policy.embed(final), torch.zeros(1, 1, dtype=torch.bool),
                    trajectory.actions[t : t + 1], trajectory.rewards[t : t + 1], state,
                ).values.item()  # fmt: skip
            assert abs(value) > 0.01
            expected = GAMMA * value
            assert trajectory.discounts[t, 0] == 0
            checked += 1
        assert trajectory.bootstraps[t, 0].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert checked >= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_step_is_worth_nothing_behind_it_unless_told(mode: AutoresetMode) -> None:
    config = counting_config()
    env = make_counting_env(mode=mode, truncated=(True,))
    actor = Actor(env, counting_policy(config), seed=1)
    trajectories, episodes = collect_unrolls(actor, config, 5)
    assert episodes
    for trajectory in trajectories:
        assert not trajectory.bootstraps.any()


@pytest.mark.parametrize("truncated", [False, True])
def test_bootstrapping_reaches_the_loss_of_truncated_episodes_only(truncated: bool) -> None:
    metrics = []
    for truncation in ("terminate", "bootstrap"):
        config = counting_config(truncation=truncation)
        policy = counting_policy(config)
        env = make_counting_env(truncated=(truncated,))
        actor = Actor(env, policy, seed=1, config=config)
        trajectory = collect_unrolls(actor, config, 1)[0][0]
        metrics.append(Learner(policy, config, 100).losses(trajectory).baseline.item())
    assert (metrics[0] != metrics[1]) == truncated


# --------------------------------------------------------------------------------- evaluation


def luck(num_envs: int) -> SyncVectorEnv:
    return SyncVectorEnv([LuckEnv] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def test_evaluation_does_not_prefer_short_episodes() -> None:
    num_envs, num_episodes = 200, 200
    episodes = evaluate(Actor(luck(num_envs), UniformPolicy(NUM_ACTIONS), seed=1), num_episodes)
    returns = np.array([episode.episode_return for episode in episodes])
    # The true mean is 0 and its standard error 0.07.
    assert abs(returns.mean()) < 0.3
    # The first episodes that finish anywhere would say something else.
    actor = Actor(luck(num_envs), UniformPolicy(NUM_ACTIONS), seed=1)
    first_to_finish: list[float] = []
    while len(first_to_finish) < num_episodes:
        first_to_finish += [episode.episode_return for episode in actor.step().finished]
    assert np.mean(first_to_finish[:num_episodes]) < -0.7


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("num_envs", "num_episodes", "quotas"),
    [(3, 7, [3, 2, 2]), (2, 6, [3, 3]), (4, 4, [1, 1, 1, 1]), (1, 5, [5])],
)
def test_every_environment_plays_its_share_from_its_first_episode_on(
    mode: AutoresetMode, num_envs: int, num_episodes: int, quotas: list[int]
) -> None:
    lengths = [(1, 2), (5, 1, 9), (3,), (4, 8)]
    env = make_counting_env(num_envs, mode, lengths=lengths)
    heard: list[EpisodeStats] = []
    actor = Actor(env, UniformPolicy(NUM_ACTIONS), seed=0)
    episodes = evaluate(actor, num_episodes, heard.append)
    expected = [
        (number, lengths[number][i % len(lengths[number])])
        for number, quota in enumerate(quotas)
        for i in range(quota)
    ]
    assert [(e.environment, e.length_steps) for e in episodes] == expected
    assert sorted(heard) == sorted(episodes)


# ----------------------------------------------------------------------------------- choosing


class FixedPolicy:
    """Always says the same."""

    def __init__(self, *logits: float) -> None:
        self.logits = torch.tensor(logits)

    def initial_state(self, batch_size: int) -> torch.Tensor:
        return torch.zeros(2, batch_size, 0)

    def embed(self, observations: torch.Tensor) -> torch.Tensor:
        return observations.new_zeros((*observations.shape[:2], 0))

    def unroll(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> PolicyOutput:
        logits = self.logits.expand(*first.shape, NUM_ACTIONS)
        return PolicyOutput(logits, torch.zeros(first.shape), state)


def chosen(
    policy: FixedPolicy | UniformPolicy, *, seed: int = 0, greedy: bool = False
) -> NDArray[Any]:
    actor = Actor(make_counting_env(num_envs=100), policy, seed=seed, greedy=greedy)
    return np.stack([actor.step().actions.numpy() for _ in range(60)])


@pytest.mark.parametrize(
    ("policy", "probabilities"),
    [
        (FixedPolicy(np.log(0.2), np.log(0.7), np.log(0.1)), [0.2, 0.7, 0.1]),
        (UniformPolicy(NUM_ACTIONS), [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_actions_are_sampled_with_their_probabilities(
    policy: FixedPolicy | UniformPolicy, probabilities: list[float]
) -> None:
    actions = chosen(policy)
    for action, probability in enumerate(probabilities):
        deviation = np.sqrt(probability * (1 - probability) / actions.size)
        assert abs((actions == action).mean() - probability) < 5 * deviation


def test_a_greedy_actor_takes_the_most_probable_action() -> None:
    assert (chosen(FixedPolicy(0.1, 0.2, 0.15), greedy=True) == 1).all()


def test_the_seed_decides_the_actions() -> None:
    policy = UniformPolicy(NUM_ACTIONS)
    np.testing.assert_array_equal(chosen(policy, seed=5), chosen(policy, seed=5))
    assert (chosen(policy, seed=5) != chosen(policy, seed=6)).any()


def test_actions_that_are_not_discrete_are_refused() -> None:
    class Continuous(LuckEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gymnasium.spaces.Box(-1, 1, (2,))  # type: ignore[assignment]

    with pytest.raises(InputError, match="actions must be discrete"):
        Actor(SyncVectorEnv([Continuous]), UniformPolicy(2), seed=0)


# ------------------------------------------------------------------------- save and restore


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_unrolls", [1, 2, 3])
def test_a_restored_actor_goes_on_exactly(mode: AutoresetMode, num_unrolls: int) -> None:
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    assert isinstance(actor.env, Restorable)
    collect_unrolls(actor, config, num_unrolls)
    restored = Actor(make_counting_env(mode=mode), policy, seed=99)
    restored.set_state({name: tensor.clone() for name, tensor in actor.get_state().items()})
    expected, expected_episodes = collect_unrolls(actor, config, 4)
    found, episodes = collect_unrolls(restored, config, 4)
    assert episodes == expected_episodes
    for ours, theirs in zip(found, expected, strict=True):
        for name, tensor in ours.tensors().items():
            assert torch.equal(tensor, theirs.tensors()[name]), name


def test_an_environment_that_cannot_be_saved_starts_new_episodes_and_keeps_the_count() -> None:
    actor = Actor(luck(3), UniformPolicy(NUM_ACTIONS), seed=0)
    for _ in range(7):
        actor.step()
    restored = Actor(luck(3), UniformPolicy(NUM_ACTIONS), seed=1)
    restored.set_state(actor.get_state())
    assert restored.num_steps == actor.num_steps == 21
    assert restored.entry().first.all()


# -------------------------------------------------------------------------------- the memory


def test_images_stay_bytes_and_embeddings_take_their_place() -> None:
    config = AgentConfig(
        embedding="impala_shallow", embedding_size=16, lstm_size=8, fc_size=8, unroll_length=3
    )
    env = make_env("catch", 2, downsample=16)
    torch.manual_seed(0)
    policy = Policy((30, 20, 3), 54, config).eval()
    actor = Actor(env, policy, seed=0)
    images = empty_trajectory(actor, config, store_embeddings=False)
    assert images.observations is not None
    assert images.observations.dtype == torch.uint8
    assert images.observations.shape == (4, 2, 30, 20, 3)
    assert images.embeddings is None

    unroll = empty_trajectory(actor, config, store_embeddings=True)
    seen = [actor.entry().observations]
    collect(actor, unroll, 0.99)
    assert unroll.observations is None
    assert unroll.embeddings is not None
    assert unroll.embeddings.shape == (4, 2, 16)
    seen.append(actor.entry().observations)
    with torch.no_grad():
        for t, observation in zip((0, 3), seen, strict=True):
            np.testing.assert_allclose(
                unroll.embeddings[t], policy.embed(observation)[0], rtol=1e-5
            )
