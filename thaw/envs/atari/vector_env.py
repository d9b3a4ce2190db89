"""Atari 2600 games in EnvPool's C++ engine, as one Gymnasium vector environment.

The defaults are the protocol of Machado et al. 2018 (arXiv 1709.06009): sticky actions, all 18
actions, an episode is a game. Frame skip, stack and picture are IMPALA's (Espeholt et al. 2018,
table G.1). Rewards are the game's own points; the learner clips them.

Legend: N environments, K stacked pictures, C colors (1 or 3), S the pictures' size.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, Final

import gymnasium
import msgspec
import numpy as np
import numpy.typing as npt

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Fraction, from_plain
from thaw.envs.atari.games import Variant, ask_ale, check_rom, missing, parse_variant
from thaw.envs.envpool.vector_env import Array, BoolArray, EnvPoolVectorEnv, Task
from thaw.envs.options import merge_options
from thaw.envs.views import View

FRAMES_PER_SECOND: Final = 60

# EnvPool stores these numbers in a C int.
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class AtariOptions(Config, frozen=True, kw_only=True):
    """How a game is played; all but ``num_threads`` change the result.

    EnvPool always shows the maximum of a step's last two frames (one frame if ``frame_skip`` is
    1), as in Mnih et al. 2015; this cannot be changed.
    """

    sticky: Fraction = 0.25
    """Probability, in each frame, that the previous frame's action is repeated."""
    full_action_space: bool = True
    """All actions of the joystick, so that a policy fits every flavor; else only those that have
    an effect in the game."""
    life_loss_ends: bool = False
    """Whether a lost life ends the episode for the learner (IMPALA: yes). The next episode
    continues the game. Returns and lengths are those of whole games."""
    frame_skip: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """Frames of one step (Machado et al.: 5)."""
    image_size: Annotated[int, msgspec.Meta(ge=16, le=160)] = 84
    """Height and width of a picture in pixels, by area averages of the 210 x 160 screen. If a
    screen is taller, as in 13 games, EnvPool shows its upper 210 rows."""
    grayscale: bool = True
    """Else red, green and blue of each stacked picture, one after the other."""
    stack: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """Pictures in one observation, the newest last; a game's first observation repeats one."""
    max_episode_frames: Count = 108_000
    """A game is truncated after the last whole step within this many frames (30 minutes)."""
    noop_max: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """A game starts with 1 to this many no-op frames, at random (IMPALA: 30). EnvPool always plays
    at least one, so 0 and 1 are the same."""
    fire_reset: bool = False
    """Whether FIRE is pressed in the last of those frames, if the game has it."""
    num_threads: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """Threads of the engine; None: one for each core of this process. Changes no result."""


class AtariVectorEnv(EnvPoolVectorEnv):
    """Many games of one flavor at once.

    Observations are [N, S, S, K x C] uint8: a view of EnvPool's [N, K x C, S, S], without a
    copy; `render` returns the console's screens, [210, 160, 3]. Only `max_episode_frames` truncates
    an episode; `stalled` is then True.

    The infos have `lives` [N] int32, `ram` [N, 128] uint8, `stalled` [N] bool, and
    `score_continues` [N] bool: the episode ended with a lost life, and the next one continues its
    game. The metadata has `action_meanings`, ALE's names of the actions, and `frames_per_step`.

    Args:
        game: ALE's ROM id.
        variant: The mode and difficulty.
        num_envs: How many games.
        options: How they are played.
    """

    def __init__(self, game: str, variant: Variant, num_envs: int, options: AtariOptions) -> None:
        self.game = game
        facts = ask_ale(game)
        actions = facts.all_actions if options.full_action_space else facts.minimal_actions
        channels = options.stack * (1 if options.grayscale else 3)
        pictures = gymnasium.spaces.Box(
            0, 255, (options.image_size, options.image_size, channels), np.uint8
        )
        task = Task(
            id=envpool_task(game),
            settings={
                "mode": variant.mode,
                "difficulty": variant.difficulty,
                "repeat_action_probability": options.sticky,
                "full_action_space": options.full_action_space,
                "episodic_life": options.life_loss_ends,
                "frame_skip": options.frame_skip,
                "img_height": options.image_size,
                "img_width": options.image_size,
                "gray_scale": options.grayscale,
                "stack_num": options.stack,
                "max_episode_steps": options.max_episode_frames // options.frame_skip,
                "noop_max": max(1, options.noop_max),  # 0 is undefined behavior there
                "use_fire_reset": options.fire_reset,
                "reward_clip": False,
            },
            num_threads=options.num_threads,
            view=View(pictures, _channels_last),
            actions=actions,
            num_actions=len(actions),
        )
        super().__init__(task, num_envs)
        self.metadata["frames_per_step"] = options.frame_skip
        self.metadata["render_fps"] = FRAMES_PER_SECOND / options.frame_skip

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start a new game in all environments, as in EnvPoolVectorEnv."""
        pictures, infos = super().reset(seed=seed, options=options)
        no = np.zeros(self.num_envs, np.bool_)
        return pictures, _infos(infos, stalled=no, score_continues=no)

    def step(
        self, actions: Array
    ) -> tuple[Array, npt.NDArray[np.float32], BoolArray, BoolArray, dict[str, Any]]:
        """Play one step in every environment, as in EnvPoolVectorEnv; rewards are points."""
        pictures, rewards, terminated, truncated, infos = super().step(actions)
        # If a game is over in the same step as the limit, EnvPool calls it truncated.
        is_over = infos["terminated"] != 0
        terminated, truncated = terminated | is_over, truncated & ~is_over
        infos = _infos(infos, stalled=truncated, score_continues=terminated & ~is_over)
        return pictures, rewards, terminated, truncated, infos

    def _build(self) -> Any:
        check_rom(self.game)
        pool = super()._build()
        assert pool.action_space.n == self.task.num_actions, "EnvPool's actions are not ALE's"
        return pool


def make_atari(flavor: Flavor, num_envs: int, options: Mapping[str, Any]) -> AtariVectorEnv:
    """Make a vector of games.

    Args:
        flavor: ``atari/<game>@m<mode>d<difficulty>``, with ALE's ROM id, as ``space_invaders``;
            without a variant it has the game's default mode and difficulty.
        num_envs: How many.
        options: Those of :class:`AtariOptions`; the flavor's own options win.

    Raises:
        InputError: No such game or variant, an option that is unknown or out of range, or a
            package that is not installed.
    """
    variant = parse_variant(flavor)
    if importlib.util.find_spec("envpool") is None:  # importing it takes a second
        raise missing("EnvPool")
    where = f"flavor '{flavor}'"
    checked = from_plain(merge_options(flavor, options), AtariOptions, where)
    if checked.max_episode_frames < checked.frame_skip:
        raise InputError(
            f"{where}: max_episode_frames is {checked.max_episode_frames}; it must be "
            f"at least frame_skip, {checked.frame_skip}"
        )
    return AtariVectorEnv(flavor.name, variant, num_envs, checked)


def envpool_task(game: str) -> str:
    """Return EnvPool's name of a game: ``SpaceInvaders-v5`` for ``space_invaders``."""
    return "".join(word.capitalize() for word in game.split("_")) + "-v5"


def _channels_last(pictures: Array) -> Array:
    return pictures.transpose(0, 2, 3, 1)


def _infos(infos: Mapping[str, Any], **flags: BoolArray) -> dict[str, Any]:
    return {"lives": infos["lives"], "ram": infos["ram"], **flags}
