from __future__ import annotations

import numpy as np
import pytest
from envpool_games import play

from thaw.envs.families import make_env

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'thaw[envpool]'")


def test_the_number_of_threads_changes_nothing() -> None:
    address = "minigrid/MiniGrid-Empty-Random-6x6-v0"
    one, two = play(address, 50, num_threads=1), play(address, 50, num_threads=2)
    np.testing.assert_array_equal(np.stack(one), np.stack(two))


def test_neighboring_seeds_share_no_environment() -> None:
    env = make_env("envpool/CartPole-v1", 4)
    first, second = env.reset(seed=0)[0], env.reset(seed=1)[0]
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 8
    env.close()


@pytest.mark.parametrize("actions", [[7, 0], [-1, 0], [0.0, 0.0], [0]])
def test_wrong_actions_are_refused(actions: list[float]) -> None:
    env = make_env("minigrid/MiniGrid-Empty-5x5-v0", 2, seed=0)
    with pytest.raises(ValueError, match=r"whole number from 0 to 6"):
        env.step(np.array(actions))
    env.close()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    play("envpool/CartPole-v1", 3)
    assert capfd.readouterr() == ("", "")
