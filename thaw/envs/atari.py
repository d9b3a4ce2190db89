"""Atari 2600 games in EnvPool's C++ engine, behind Gymnasium's vector interface.

The defaults are the protocol of Machado et al. 2018 (arXiv 1709.06009): sticky actions, all 18
actions, an episode is a game. Frame skip, stack and picture are IMPALA's (Espeholt et al. 2018,
table G.1). Rewards are the game's own points; who learns clips them.

Legend: N environments, K stacked pictures, C colors (1 or 3), S the pictures' size.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

import gymnasium
import msgspec
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from thaw.config import Config, Fraction
from thaw.envs.atari_games import Variant, ask_ale, check_rom, missing, parse_variant
from thaw.plain import InputError, from_plain

Pixels = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

FRAMES_PER_SECOND: Final = 60
# What fits a C int, which EnvPool counts with.
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class AtariOptions(Config, frozen=True, kw_only=True):
    """How a game is played; all but ``num_threads`` decide the result.

    EnvPool always shows the maximum of a step's last two frames (one frame if ``frame_skip`` is
    1), as in Mnih et al. 2015; that is no option.
    """

    sticky: Fraction = 0.25
    """Chance, drawn anew in each frame, that the action of the frame before is repeated."""
    full_action_space: bool = True
    """All actions of the joystick, so that a policy fits every flavor; else those that do
    something in the game."""
    life_loss_ends: bool = False
    """Whether a lost life ends the episode (IMPALA: yes). The game then goes on in the next."""
    frame_skip: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """Frames of one step (Machado et al.: 5)."""
    image_size: Annotated[int, msgspec.Meta(ge=16, le=160)] = 84
    """Height and width of a picture in pixels, by area averages of the 210 x 160 screen. Where a
    screen is taller, as in 13 games, EnvPool shows its upper 210 rows."""
    grayscale: bool = True
    """Else red, green and blue of each stacked picture, one behind the other."""
    stack: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """Pictures in one observation, the newest last. Of a game's first they are all the same."""
    max_episode_frames: Count = 108_000
    """A game is cut behind the last whole step within this many frames (30 minutes)."""
    noop_max: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """Random no-op frames at a game's start are 1 to this many (IMPALA: 30). EnvPool lets one
    pass in any case, so that 0 and 1 are the same."""
    fire_reset: bool = False
    """Whether FIRE is pressed for the last of those frames, where the game has it."""
    num_threads: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """Of the engine; None for as many as cores that this process may use. Changes no result."""


class AtariVectorEnv(gymnasium.vector.VectorEnv[Pixels, npt.NDArray[Any], npt.NDArray[Any]]):
    """Many games of one flavor at once.

    Observations are [N, S, S, K x C] uint8: a view of EnvPool's [N, K x C, S, S], without a
    copy. An environment whose episode ended spends its next step on a reset: that step's action
    is not played and its reward is 0 (`autoreset_mode` NEXT_STEP). An episode is truncated only
    by `max_episode_frames`, and then it has `stalled`.

    The infos have `lives` [N] int32, `ram` [N, 128] uint8, and `stalled` [N] bool. The metadata
    have `action_meanings`, ALE's names of the actions, and `frames_per_step`.

    Args:
        game: ALE's ROM id.
        variant: The mode and difficulty.
        num_envs: How many games.
        options: How they are played.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": ["rgb_array"],
    }

    def __init__(self, game: str, variant: Variant, num_envs: int, options: AtariOptions) -> None:
        facts = ask_ale(game)
        actions = facts.all_actions if options.full_action_space else facts.minimal_actions
        channels = options.stack * (1 if options.grayscale else 3)
        self.game, self.variant, self.options = game, variant, options
        self.num_envs = num_envs
        self.render_mode = "rgb_array"
        self.metadata = {
            **type(self).metadata,
            "action_meanings": actions,
            "frames_per_step": options.frame_skip,
            "render_fps": FRAMES_PER_SECOND / options.frame_skip,
        }
        self.single_observation_space = gymnasium.spaces.Box(
            0, 255, (options.image_size, options.image_size, channels), np.uint8
        )
        self.single_action_space = gymnasium.spaces.Discrete(len(actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        # Built by the first reset, which brings the seed: EnvPool is seeded when it is built, and
        # loads every environment's ROM then, at a tenth of a second each.
        self._pool: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Start a new game in all environments.

        Args:
            seed: Builds the engine anew with it; None goes on with the one there is.
            options: There are none.

        Returns:
            The observations, [N, S, S, K x C] uint8, and the infos.

        Raises:
            ValueError: If there are options.
        """
        super().reset(seed=seed)
        if options:
            raise ValueError(f"reset has no options, got {', '.join(options)}")
        if seed is not None or self._pool is None:
            self._pool = None  # ends the old engine's threads before new ones start
            self._pool = self._build()
        pictures, infos = self._pool.reset()
        return _channels_last(pictures), self._infos(infos, np.zeros(self.num_envs, np.bool_))

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Pixels, npt.NDArray[np.float32], BoolArray, BoolArray, dict[str, Any]]:
        """Play one step in every environment.

        Args:
            actions: [N] int, an index into the metadata's `action_meanings`.

        Returns:
            Observations [N, S, S, K x C] uint8, the game's own points [N] float32, terminated
            [N] bool, truncated [N] bool, and the infos.

        Raises:
            ValueError: If the actions have the wrong form or range.
            ResetNeeded: If there was no reset yet.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no game is under way; call reset before step")
        pictures, rewards, terminated, truncated, infos = self._pool.step(self._checked(actions))
        # A game that is over in the very step of the cap EnvPool calls truncated.
        is_over = infos["terminated"] != 0
        terminated = terminated | is_over
        truncated = truncated & ~is_over
        return (
            _channels_last(pictures), rewards, terminated, truncated,
            self._infos(infos, truncated),
        )  # fmt: skip

    def render(self) -> tuple[Pixels, ...]:
        """The console's screens, one [210, 160, 3] uint8 for each environment.

        Raises:
            ResetNeeded: If there was no reset yet.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no game is under way; call reset before render")
        return tuple(self._pool.render(np.arange(self.num_envs)))

    def close_extras(self, **kwargs: Any) -> None:
        """End the engine's threads."""
        self._pool = None

    def _build(self) -> Any:
        import envpool

        check_rom(self.game)
        options = self.options
        # EnvPool would give neighbors the seeds s, s + 1, ...: runs with the seeds 0 and 1 would
        # then share all their random numbers but one environment's. ALE takes -1 for the clock.
        seeds = self.np_random.integers(0, 2**31, self.num_envs).tolist()
        pool = envpool.make_gymnasium(
            envpool_task(self.game),
            num_envs=self.num_envs,
            seed=seeds,
            num_threads=options.num_threads or min(self.num_envs, _num_cores()),
            mode=self.variant.mode,
            difficulty=self.variant.difficulty,
            repeat_action_probability=options.sticky,
            full_action_space=options.full_action_space,
            episodic_life=options.life_loss_ends,
            frame_skip=options.frame_skip,
            img_height=options.image_size,
            img_width=options.image_size,
            gray_scale=options.grayscale,
            stack_num=options.stack,
            max_episode_steps=options.max_episode_frames // options.frame_skip,
            noop_max=max(1, options.noop_max),  # 0 is undefined behavior there
            use_fire_reset=options.fire_reset,
            reward_clip=False,
            render_mode="rgb_array",
        )
        assert isinstance(self.single_action_space, gymnasium.spaces.Discrete)
        assert pool.action_space.n == self.single_action_space.n, "EnvPool's actions are not ALE's"
        return pool

    def _checked(self, actions: object) -> npt.NDArray[np.int32]:
        """Refuse what EnvPool would read beyond its table of actions for."""
        array = np.asarray(actions)
        end = len(self.metadata["action_meanings"])
        is_right = array.shape == (self.num_envs,) and array.dtype.kind in "iu"
        if not is_right or array.min() < 0 or array.max() >= end:
            span = f" from {array.min()} to {array.max()}" if array.size else ""
            raise ValueError(
                f"actions is {array.dtype}{list(array.shape)}{span}; it must be int"
                f"[{self.num_envs}], a whole number from 0 to {end - 1} for each environment"
            )
        return array.astype(np.int32)

    def _infos(self, infos: Mapping[str, Any], stalled: BoolArray) -> dict[str, Any]:
        return {"lives": infos["lives"], "ram": infos["ram"], "stalled": stalled}


def make_atari(
    game: str, variant: str, num_envs: int, options: Mapping[str, Any]
) -> AtariVectorEnv:
    """Make a vector of games.

    Args:
        game: ALE's ROM id, as ``space_invaders``.
        variant: ``m<mode>d<difficulty>``, or ``default``.
        num_envs: How many.
        options: Those of :class:`AtariOptions`.

    Raises:
        InputError: No such game or variant, an option that is unknown or out of range, or a
            package that is not installed.
    """
    parsed = parse_variant(game, variant)
    if importlib.util.find_spec("envpool") is None:  # to import it takes a second
        raise missing("EnvPool")
    address = f"atari/{game}" + ("" if variant == "default" else f"@{variant}")
    checked = from_plain(dict(options), AtariOptions, f"flavor '{address}'")
    if checked.max_episode_frames < checked.frame_skip:
        raise InputError(
            f"flavor '{address}': max_episode_frames is {checked.max_episode_frames}; it must be "
            f"at least frame_skip, {checked.frame_skip}"
        )
    return AtariVectorEnv(game, parsed, num_envs, checked)


def envpool_task(game: str) -> str:
    """Return EnvPool's name of a game: ``SpaceInvaders-v5`` for ``space_invaders``."""
    return "".join(word.capitalize() for word in game.split("_")) + "-v5"


def _channels_last(pictures: Pixels) -> Pixels:
    return pictures.transpose(0, 2, 3, 1)


def _num_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
