"""The options of Catch, in an address, an ``environment`` section or a constructor call."""

from __future__ import annotations

from typing import Final

from thaw.config.strict import Config
from thaw.envs.catch.knobs import (
    SCREEN_HEIGHT_PX,
    SCREEN_WIDTH_PX,
    VARIANTS,
    CatchKnobs,
    check_choice,
    check_number,
    check_whole_number,
)
from thaw.envs.catch.touches import ACTION_COUNTS

DOWNSAMPLES: Final = tuple(
    d for d in range(1, 161) if SCREEN_HEIGHT_PX % d == 0 and SCREEN_WIDTH_PX % d == 0
)
"""The divisors that the screen's height and width share."""


class CatchOptions(Config, frozen=True, kw_only=True):
    """How a game is played and drawn.

    Raises:
        ValueError: A value has the wrong type or is out of range. The first seven are checked
            by `knobs`.
    """

    background_color: str | None = None
    """This and the next six are the app's own options, see `CatchKnobs`. None stands for the
    variant's value."""
    ball_color: str | None = None
    ball_radius: float | None = None
    """Pixels."""
    ball_speed: float | None = None
    """Pixels per millisecond."""
    paddle_color: str | None = None
    paddle_width: int | None = None
    """Pixels."""
    paddle_height: int | None = None
    """Pixels."""
    touch_noise: float = 0.1
    """Standard deviation of a touch's place in its cell, in cells; 0 turns the noise off."""
    num_actions: int = 54
    """54, 56, 108 or 162, see `ACTION_COUNTS`. LIFT and REPEAT do not move the paddle."""
    frame_ms: int = 16
    """The shortest frame in milliseconds (the app sleeps for 16)."""
    frame_jitter_ms: int = 0
    """Each frame is 0 to this many milliseconds longer, uniformly."""
    frames_per_step: int = 4
    """Frames between two actions; 4 make AndroidEnv's 15 steps a second."""
    action_latency_steps: int = 0
    """A touch reaches the app this many steps late."""
    downsample: int = 4
    """How many screen pixels become one, in each direction."""

    def __post_init__(self) -> None:
        check_number("touch_noise", self.touch_noise, 0, 100)
        check_whole_number("frame_ms", self.frame_ms, 1, 1000)
        check_whole_number("frame_jitter_ms", self.frame_jitter_ms, 0, 1000)
        check_whole_number("frames_per_step", self.frames_per_step, 1, 1000)
        check_whole_number("action_latency_steps", self.action_latency_steps, 0, 1000)
        check_choice("num_actions", self.num_actions, ACTION_COUNTS)
        check_choice("downsample", self.downsample, DOWNSAMPLES)

    def knobs(self, variant: str) -> CatchKnobs:
        """Return the app's options: the variant's settings, replaced by those that are given.

        Args:
            variant: A name in `VARIANTS`.

        Raises:
            ValueError: No such variant, or a value of the wrong type or range.
        """
        check_choice("variant", variant, tuple(VARIANTS))
        given = {
            name: value
            for name in CatchKnobs.__dataclass_fields__
            if (value := getattr(self, name)) is not None
        }
        return CatchKnobs(**{**VARIANTS[variant], **given})
