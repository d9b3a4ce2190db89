"""Drawn on a device means drawn the same; on a CPU here, on a GPU in test_gpu.py."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from catch_twins import CatchTwins

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.catch import pictures as catch_pictures
from thaw.envs.catch.knobs import VARIANTS, CatchKnobs
from thaw.envs.catch.pictures import CatchPictures
from thaw.envs.catch.pictures_torch import CatchPicturesOnDevice
from thaw.envs.catch.vector_env import CatchVectorEnv
from thaw.envs.families import make_env
from thaw.training.build import policy_for


@pytest.mark.parametrize("autoreset_mode", ["SameStep", "Disabled"])
@pytest.mark.parametrize("downsample", [4, 8, 16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_looks_as_drawn_in_numpy(variant: str, downsample: int, autoreset_mode: str) -> None:
    twins = CatchTwins(
        {4: 3, 8: 7, 16: 1}[downsample], "cpu", variant=variant, downsample=downsample,
        autoreset_mode=autoreset_mode, frame_jitter_ms=9, action_latency_steps=1,
    )  # fmt: skip
    twins.play(200)
    assert twins.num_resets
    assert (twins.num_finals > 0) == (autoreset_mode == "SameStep")


@pytest.mark.parametrize("downsample", [1, 5, 160])
def test_looks_as_drawn_in_numpy_where_the_ball_is_odd(downsample: int) -> None:
    twins = CatchTwins(
        2, "cpu", downsample=downsample, ball_radius=60.5, ball_color="#80FF8000",
        paddle_height=60, background_color="#123456", frames_per_step=20,
    )  # fmt: skip
    twins.play(40)
    assert twins.num_finals


def test_returned_tensors_are_never_overwritten() -> None:
    twins = CatchTwins(4, "cpu", frames_per_step=30)
    twins.play(60)
    assert twins.num_finals
    twins.check_kept()


def test_a_full_cache_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_pictures, "_CACHE_BYTES", 1)
    look = CatchKnobs()
    pictures, plain = CatchPicturesOnDevice(look, 4, 4, "cpu"), CatchPictures(look, 4, 4)
    rng = np.random.default_rng(3)
    for num_drawn in [4, 4, 1, 3, 2] * 10:  # too many for a place to be kept for each
        which = rng.permutation(4)[:num_drawn]
        x, y, paddle_x = (rng.integers(0, end, num_drawn) for end in (320, 500, 321))
        pictures.draw(which, x, y, paddle_x)
        plain.draw(which, x, y, paddle_x)
        np.testing.assert_array_equal(pictures.pictures.numpy(), plain.pictures)
        np.testing.assert_array_equal(pictures.copy(which).numpy(), plain.copy(which))


def test_draws_inside_and_outside_of_inference_mode() -> None:
    # The acting loop's resets are inside; nothing may go wrong when a step comes from outside.
    twins = CatchTwins(2, "cpu", frames_per_step=30)
    with torch.inference_mode():
        twins.play(12)
    twins.play(12)


@pytest.mark.parametrize("autoreset_mode", ["SameStep", "Disabled"])
def test_an_actor_collects_and_saves_the_same(autoreset_mode: str) -> None:
    config = AgentConfig(
        embedding="impala_shallow", embedding_size=8, lstm_size=8, fc_size=8, unroll_length=12,
        precision="float32",
    )  # fmt: skip
    options: dict[str, Any] = {
        "downsample": 16, "frames_per_step": 20, "autoreset_mode": autoreset_mode,
    }  # fmt: skip
    drawn = CatchVectorEnv(3, drawn_on="cpu", **options)
    plain = CatchVectorEnv(3, **options)
    policy = policy_for(plain, config, Flavor("catch")).eval()
    actors = [Actor(env, policy, seed=4) for env in (drawn, plain)]
    unrolls = [empty_trajectory(actor, config, store_embeddings=False) for actor in actors]
    saved = {}
    for turn in range(4):
        ended = [collect(actor, unroll, 0.9) for actor, unroll in zip(actors, unrolls, strict=True)]
        assert ended[0] == ended[1]
        for name, tensor in unrolls[1].tensors().items():
            assert torch.equal(unrolls[0].tensors()[name], tensor), name
        if turn == 1:
            saved = actors[0].get_state()
        if turn == 2:  # each goes on from what the other saved two unrolls ago
            for actor in actors:
                actor.set_state(saved)
    assert len(ended[0]) > 0


def test_on_the_cpu_and_in_other_families_observations_are_arrays() -> None:
    for address, device in (("catch", "cpu"), ("gym/CartPole-v1", "cuda")):
        env = make_env(address, 2, drawn_on=device)
        assert isinstance(env.reset(seed=0)[0], np.ndarray)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "mps", 0])
def test_an_unknown_device_is_refused_in_one_line(device: Any) -> None:
    message = rf"drawn_on={device!r} must be one of None, cpu(, cuda\S*)*$"
    with pytest.raises(ValueError, match=rf"^{message}"):
        CatchVectorEnv(drawn_on=device)
    with pytest.raises(InputError, match=rf"^flavor 'catch': {message}"):
        make_env("catch", drawn_on=device)


def test_where_it_is_drawn_is_no_option_of_a_flavor() -> None:
    with pytest.raises(InputError, match="unknown key 'drawn_on'") as error:
        make_env("catch?drawn_on=cpu")
    assert "drawn_on" not in str(error.value).partition("Allowed:")[2]


def test_torch_is_only_imported_to_draw_there() -> None:
    code = (
        "import sys; from thaw.envs import make_env; make_env('catch');"
        "assert 'torch' not in sys.modules; from thaw.envs.catch import CatchVectorEnv;"
        "CatchVectorEnv(drawn_on='cpu');"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
