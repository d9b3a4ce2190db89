from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from kotlin_catch import kotlin_fall, kotlin_intersects, kotlin_is_out

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.vector_env import CatchVectorEnv

# Where a touch on each of the six columns lands without noise: int((column + 0.5) / 6 x 320).
TOUCH_X = [26, 80, 133, 186, 240, 293]
LIFT = 54


def play_one_throw(
    options: dict[str, Any], ball_x: int, actions: list[int]
) -> tuple[int, int, int, float]:
    """Throw one ball; the last action is repeated as often as needed.

    Returns:
        Number of steps, the ball's last y, the paddle's last x, the reward.
    """
    env = CatchVectorEnv(**({"touch_noise": 0} | options), autoreset_mode="Disabled")
    env.reset(seed=0, options={"ball_x": [ball_x]})
    for num_steps in range(1, 1000):
        action = actions[min(num_steps, len(actions)) - 1]
        _, reward, terminated, truncated, info = env.step(np.array([action]))
        assert not truncated[0]
        if terminated[0]:
            return num_steps, info["ball_y"][0], info["paddle_x"][0], float(reward[0])
        assert reward[0] == 0
    raise AssertionError("the throw did not end")


@pytest.mark.parametrize(
    ("options", "ball_x", "actions", "expected"),
    [
        # From y = 10 by 3 px a frame to the first y > 470: 472 after 154 frames, in step 39.
        pytest.param({}, 129, [1], (39, 472, 80, 1), id="49 px to the right is caught"),
        pytest.param({}, 130, [1], (39, 472, 80, -1), id="50 px is missed"),
        pytest.param({}, 31, [1], (39, 472, 80, 1), id="49 px to the left is caught"),
        pytest.param({}, 30, [1], (39, 472, 80, -1), id="50 px to the left is missed"),
        pytest.param({}, 80, [5] * 38 + [1], (39, 472, 80, 1), id="the last touch counts"),
        pytest.param({}, 80, [1] * 38 + [5], (39, 472, 293, -1), id="and may spoil it"),
        pytest.param({}, 26, [0 + 8 * 6], (39, 472, 26, 1), id="the row is all the same"),
        pytest.param({"variant": "large_ball"}, 84, [0], (36, 453, 26, 1), id="large, 58 px"),
        pytest.param({"variant": "large_ball"}, 90, [0], (36, 453, 26, 1), id="large, 64 px"),
        pytest.param({"variant": "large_ball"}, 91, [0], (36, 453, 26, -1), id="large, 65 px"),
        pytest.param({"variant": "small_ball"}, 177, [2], (39, 475, 133, 1), id="small, 44 px"),
        pytest.param({"variant": "small_ball"}, 178, [2], (39, 475, 133, -1), id="small, 45 px"),
        pytest.param({"variant": "small_paddle"}, 157, [3], (39, 472, 186, 1), id="narrow, 29 px"),
        pytest.param({"variant": "small_paddle"}, 156, [3], (39, 472, 186, -1), id="narrow, 30 px"),
        pytest.param({"variant": "red_background"}, 191, [4], (39, 472, 240, 1), id="red, 49 px"),
        pytest.param({"paddle_width": 40, "variant": "red_background"}, 191, [4],
                     (39, 472, 240, -1), id="a knob with a variant"),
        pytest.param({"action_latency_steps": 1}, 80, [1] * 38 + [5], (39, 472, 80, 1),
                     id="latency 1: the last touch comes too late"),
        pytest.param({"action_latency_steps": 1}, 80, [1] * 37 + [5], (39, 472, 293, -1),
                     id="latency 1: the one before arrives"),
        pytest.param({"action_latency_steps": 39}, 160, [5], (39, 472, 160, 1),
                     id="latency 39: nothing arrives, the paddle rests"),
        pytest.param({"action_latency_steps": 38}, 160, [5], (39, 472, 293, -1),
                     id="latency 38: the first touch arrives in the last step"),
        pytest.param({"frames_per_step": 1}, 80, [1], (154, 472, 80, 1), id="1 frame a step"),
        pytest.param({"frames_per_step": 7}, 80, [1], (22, 472, 80, 1), id="7 frames, 154 / 7"),
        pytest.param({"frames_per_step": 10}, 80, [1], (16, 472, 80, 1), id="last step in part"),
        pytest.param({"frames_per_step": 500}, 80, [1], (1, 472, 80, 1), id="one step is enough"),
        pytest.param({"frame_ms": 20}, 80, [1], (29, 474, 80, 1), id="4 px a frame: 116 frames"),
        pytest.param({"frame_jitter_ms": 3}, 80, [1], (39, 472, 80, 1), id="19 ms are 3 px too"),
        pytest.param({"num_actions": 56}, 80, [1, 54, 55], (39, 472, 80, 1), id="LIFT and REPEAT"),
        pytest.param({"num_actions": 108}, 80, [1, 54 + 5], (39, 472, 80, 1), id="LIFT there"),
        pytest.param({"num_actions": 162}, 80, [1, 108 + 5], (39, 472, 80, 1), id="REPEAT there"),
        pytest.param({"num_actions": 162}, 160, [LIFT], (39, 472, 160, 1), id="no touch at all"),
    ],
)  # fmt: skip
def test_throws_worked_out_by_hand(
    options: dict[str, Any], ball_x: int, actions: list[int], expected: tuple[int, int, int, float]
) -> None:
    assert play_one_throw(options, ball_x, actions) == expected


def test_the_last_frames_of_a_step_are_not_run_after_the_end() -> None:
    # A fast ball: 32 px a frame, r 60: from 60 over 412 to 444 > 420, after 12 frames.
    options = {"ball_speed": 2.0, "ball_radius": 60.0, "frames_per_step": 5}
    assert play_one_throw(options, 80, [1]) == (3, 444, 80, 1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("paddle_width", [None, 200, 501])
def test_plays_like_a_second_writing_of_the_app(variant: str, paddle_width: int | None) -> None:
    rng = np.random.default_rng(5)
    latency, num_envs = 2, 250
    env = CatchVectorEnv(
        num_envs, variant=variant, touch_noise=0, num_actions=108, frames_per_step=37,
        action_latency_steps=latency, downsample=10,
        paddle_width=paddle_width,
    )  # fmt: skip
    knobs = env.knobs
    _, info = env.reset(seed=1)
    x, y, paddle_x = (info[key].tolist() for key in ("ball_x", "ball_y", "paddle_x"))
    queues: list[list[int | None]] = [[None] * latency for _ in range(num_envs)]
    num_caught = num_throws = 0
    for _ in range(10):
        actions = rng.integers(0, 108, num_envs)
        _, rewards, terminated, _, info = env.step(actions)
        for i in range(num_envs):
            touch, *queues[i] = [*queues[i], int(actions[i])]
            if touch is not None and touch < 54:
                paddle_x[i] = TOUCH_X[touch % 6]
            is_out = False
            for _ in range(37):
                y[i] += kotlin_fall(knobs.ball_speed, 16)
                is_out = kotlin_is_out(knobs.ball_radius, y[i])
                if is_out:
                    break
            caught = kotlin_intersects(knobs, x[i], y[i], paddle_x[i])
            assert terminated[i] == is_out
            assert rewards[i] == (0 if not is_out else 1 if caught else -1)
            if is_out:
                final = info["final_info"]
                shown = final["ball_x"][i], final["ball_y"][i], final["paddle_x"][i]
                assert shown == (x[i], y[i], paddle_x[i])
                x[i], y[i], paddle_x[i] = info["ball_x"][i], knobs.ball_start_y_px, 160
                queues[i] = [None] * latency
                num_throws += 1
                num_caught += int(caught)
        assert info["ball_y"].tolist() == y
        assert info["paddle_x"].tolist() == paddle_x
    assert num_throws >= 2 * num_envs
    assert 0 < num_caught < num_throws


@pytest.mark.parametrize(
    ("variant", "random_return", "under_ball_return"),
    [
        ("default", -0.44, 1.00),
        ("large_ball", -0.26, 1.00),
        ("small_ball", -0.47, 1.00),
        ("small_paddle", -0.64, 0.92),
        ("red_background", -0.44, 1.00),
    ],
)
def test_returns_of_two_simple_policies(
    variant: str, random_return: float, under_ball_return: float
) -> None:
    # One step holds a whole throw: only the last touch decides.
    env = CatchVectorEnv(1000, variant=variant, frames_per_step=200, downsample=10)
    _, info = env.reset(seed=3)
    rng = np.random.default_rng(3)
    returns = [env.step(rng.integers(0, 54, 1000))[1] for _ in range(5)]
    assert np.mean(returns) == pytest.approx(random_return, abs=0.04)  # three standard errors
    ball_x = env.reset()[1]["ball_x"]
    returns = []
    for _ in range(3):
        _, rewards, terminated, _, info = env.step(ball_x * 6 // 320)
        assert terminated.all()
        returns.append(rewards)
        ball_x = info["ball_x"]
    assert np.mean(returns) == pytest.approx(under_ball_return, abs=0.015)


def test_jittered_frames_are_uniform() -> None:
    env = CatchVectorEnv(
        500, ball_speed=1.0, ball_radius=60.0, frame_ms=5, frame_jitter_ms=3, frames_per_step=1,
        downsample=10,
    )  # fmt: skip
    _, before = env.reset(seed=0)
    fallen = []
    for _ in range(10):
        _, _, _, _, info = env.step(np.zeros(500, np.int64))
        fallen.append(info["ball_y"] - before["ball_y"])
        before = info
    values, counts = np.unique(fallen, return_counts=True)
    assert values.tolist() == [5, 6, 7, 8]  # 1 px a ms
    np.testing.assert_allclose(counts / 5000, 0.25, atol=0.025)
    assert len(set(map(tuple, fallen))) == 10


def test_balls_start_uniformly_over_the_whole_width() -> None:
    env = CatchVectorEnv(3000, variant="large_ball", downsample=10)
    ball_x = env.reset(seed=0)[1]["ball_x"]
    assert (ball_x.min(), ball_x.max()) == (0, 319)
    assert ball_x.mean() == pytest.approx(159.5, abs=5)
    assert (env.reset()[1]["ball_x"] != ball_x).mean() > 0.9


def test_returned_arrays_are_never_overwritten() -> None:
    env = CatchVectorEnv(4, frames_per_step=50)
    observations, info = env.reset(seed=1)
    kept: list[tuple[Any, Any]] = []
    for _ in range(12):
        kept.append(((observations, info), deepcopy((observations, info))))
        observations, rewards, terminated, truncated, info = env.step(np.full(4, 3))
        kept.append(((rewards, terminated, truncated), deepcopy((rewards, terminated, truncated))))
    for original, copy in kept:
        _assert_same(original, copy)


def _assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            _assert_same(left[key], right[key])
    elif isinstance(left, tuple) or (isinstance(left, np.ndarray) and left.dtype == object):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            _assert_same(a, b)
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


NOISY: dict[str, Any] = {
    "frame_jitter_ms": 5, "action_latency_steps": 2, "touch_noise": 0.2, "frames_per_step": 20
}  # fmt: skip


def play(env: CatchVectorEnv, num_steps: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(9)
    return tuple(env.step(rng.integers(0, 54, env.num_envs)) for _ in range(num_steps))


def test_the_seed_decides_everything() -> None:
    env, other = CatchVectorEnv(5, **NOISY), CatchVectorEnv(5, **NOISY)
    first = env.reset(seed=7), play(env, 25)
    play(other, 3) if other.reset(seed=1) else None
    _assert_same(first, (other.reset(seed=7), play(other, 25)))
    assert (env.reset(seed=8)[1]["ball_x"] != first[0][1]["ball_x"]).any()


@pytest.mark.parametrize("downsample", [4, 16])
def test_goes_on_bit_for_bit_from_a_saved_state(downsample: int) -> None:
    env = CatchVectorEnv(5, downsample=downsample, **NOISY)
    env.reset(seed=7)
    play(env, 11)
    file = io.BytesIO()
    np.savez(file, **env.get_state())  # type: ignore[arg-type]  # numpy types one keyword apart
    expected = env.render(), play(env, 25)

    file.seek(0)
    other = CatchVectorEnv(5, downsample=downsample, **NOISY)
    other.reset(seed=3)
    play(other, 5)
    other.set_state(dict(np.load(file, allow_pickle=False)))
    _assert_same((other.render(), play(other, 25)), expected)


def test_a_state_is_a_snapshot() -> None:
    env = CatchVectorEnv(5, **NOISY)
    env.reset(seed=7)
    state = env.get_state()
    copy = deepcopy(state)
    play(env, 5)
    _assert_same(state, copy)
    env.set_state(state)
    play(env, 5)
    _assert_same(state, copy)


def test_a_foreign_state_is_refused() -> None:
    env = CatchVectorEnv(5, **NOISY)
    with pytest.raises(ValueError, match=r"ball_x of the state is int64\[4\].*int64\[5\]"):
        env.set_state(CatchVectorEnv(4, **NOISY).get_state())
    with pytest.raises(ValueError, match="rng is missing in the state"):
        env.set_state({key: value for key, value in env.get_state().items() if key != "rng"})


def test_reset_mask_restarts_only_these() -> None:
    env = CatchVectorEnv(4, touch_noise=0)
    env.reset(seed=1)
    before, _, _, _, info = env.step(np.full(4, 5))
    mask = np.array([False, True, False, True])
    after, new = env.reset(options={"reset_mask": mask, "ball_x": [0, 11, 0, 33]})
    assert new["ball_x"].tolist() == [info["ball_x"][0], 11, info["ball_x"][2], 33]
    assert new["ball_y"].tolist() == [22, 10, 22, 10]
    assert new["paddle_x"].tolist() == [293, 160, 293, 160]
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert (after[mask] != before[mask]).any(axis=(1, 2, 3)).all()


def test_without_autoreset_an_ended_throw_waits_for_reset() -> None:
    env = CatchVectorEnv(2, autoreset_mode=AutoresetMode.DISABLED, frames_per_step=80)
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"environments \[0, 1\]"):
        env.step(np.zeros(2, np.int64))
    env.reset(seed=0)
    env.step(np.zeros(2, np.int64))
    env.reset(options={"reset_mask": np.array([True, False])})
    _, _, terminated, _, info = env.step(np.zeros(2, np.int64))
    assert terminated.tolist() == [False, True]
    assert info["ball_y"].tolist() == [250, 472]
    assert "final_obs" not in info
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"environments \[1\]"):
        env.step(np.zeros(2, np.int64))
    env.reset(options={"reset_mask": terminated})
    env.step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"ball_x": [5]},
            "ball_x is int64[1] from 5 to 5; it must be int[2], a whole number from 0 to 319",
        ),
        ({"ball_x": [5, 320]}, "ball_x is int64[2] from 5 to 320; it must be"),
        ({"ball_x": [-1, 5]}, "ball_x is int64[2] from -1 to 5;"),
        ({"ball_x": [1.0, 5.0]}, "ball_x is float64[2] from 1.0 to 5.0;"),
        ({"ballx": [1, 5]}, "ballx is not an option of reset; use ball_x or reset_mask"),
        (
            {"reset_mask": np.array([1, 0])},
            "reset_mask is int64[2] with 1 True; it must be bool[2]",
        ),
        (
            {"reset_mask": np.array([False, False])},
            "with 0 True; it must be bool[2] with at least one True",
        ),
    ],
)
def test_bad_reset_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*\n)") as error:
        CatchVectorEnv(2).reset(options=options)
    assert message in str(error.value)


@pytest.mark.parametrize("actions", [[0], [0, 54], [-1, 0], [0.0, 1.0]])
def test_bad_actions_are_refused(actions: list[float]) -> None:
    env = CatchVectorEnv(2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"^actions is .* a whole number from 0 to 53 for each"):
        env.step(np.array(actions))


def test_throws_that_end_at_different_times_are_scored_one_by_one() -> None:
    env = CatchVectorEnv(4, autoreset_mode="Disabled", touch_noise=0)
    caught, missed = TOUCH_X[0], TOUCH_X[5]  # the paddle waits in the leftmost column
    ball_x = [caught, caught, missed, missed]
    env.reset(seed=0, options={"ball_x": ball_x})
    late = np.array([False, True, False, True])
    touch_left = np.zeros(4, np.int64)
    for _ in range(3):
        env.step(touch_left)
    env.reset(options={"ball_x": ball_x, "reset_mask": late})

    scored = []
    for _ in range(60):
        _, rewards, terminated, _, _ = env.step(touch_left)
        np.testing.assert_array_equal(rewards != 0, terminated)
        if terminated.any():
            scored.append(rewards.tolist())
            env.reset(options={"ball_x": ball_x, "reset_mask": terminated})
        if len(scored) == 2:
            break
    assert scored == [[1, 0, -1, 0], [0, 1, 0, -1]]
