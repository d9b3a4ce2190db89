"""Planted bugs of ``thaw/envs/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "Catch's paddle reaches one pixel too far",
        "envs/catch/rules.py",
        "    edge = np.int32(2 * knobs.paddle_half_width_px)\n",
        "    edge = np.int32(2 * knobs.paddle_half_width_px + 1)\n",
        "envs/catch/test_rules.py envs/catch/test_vector_env.py",
    ),
    Bug(
        "Catch's ball is kept inside the screen",
        "envs/catch/vector_env.py",
        "        self._ball_x[which] = ball_x\n",
        "        self._ball_x[which] = np.clip(ball_x, 10, 309)\n",
        "envs/catch/test_rules.py envs/catch/test_vector_env.py",
    ),
    Bug(
        "a ball drawn on a device leaves a trail",
        "envs/catch/pictures_torch.py",
        "        self._ball_pixel[which] = new_pixel\n",
        "",
        "envs/catch/test_pictures_torch.py",
    ),
    Bug(
        "decisions that come too late are not counted",
        "envs/androidenv/device.py",
        "max(0, periods - 1)",
        "0",
        "envs/androidenv/test_stack.py",
        "too_late",
    ),
    Bug(
        "all actors use the first device",
        "envs/families.py",
        'options.get("first_device", 0) + first_environment',
        'options.get("first_device", 0)',
        "envs/androidenv/test_family.py",
        "separate_devices",
    ),
    Bug(
        "the options of a suite win over those in an address",
        "envs/options.py",
        "{**shared, **(variant or {}), **dict(flavor.options)}",
        "{**dict(flavor.options), **(variant or {}), **shared}",
        "envs/test_families.py",
        "address_wins",
    ),
    Bug(
        "a ball near paddle and border looks as one away from the border",
        "envs/catch/pictures.py",
        "if patch.left >= _REACH and patch.right + _REACH <= width:",
        "if patch.left >= 0:",
        "envs/catch/test_pictures.py",
    ),
    Bug(
        "throws are only scored when all of them end",
        "envs/catch/vector_env.py",
        "        if ended.any():  # throws",
        "        if ended.all():  # throws",
        "envs/catch/test_vector_env.py",
    ),
    Bug(
        "the catches of ended throws are those of the first environments",
        "envs/catch/vector_env.py",
        "positions = self._ball_x[ended], self._ball_y[ended], self._paddle_x[ended]",
        "positions = (x[: ended.sum()] for x in (self._ball_x, self._ball_y, self._paddle_x))",
        "envs/catch/test_vector_env.py",
    ),
    Bug(
        "an evaluation draws again what training has drawn",
        "envs/catch/pictures.py",
        "self._parts = parts = parts_of(knobs, downsample)",
        "self._parts = parts = PictureParts(knobs, downsample)",
        "envs/catch/test_pictures.py",
    ),
    Bug(
        "a flavor's pictures are those of another size",
        "envs/catch/pictures.py",
        "def parts_of(knobs: CatchKnobs, downsample: int) -> PictureParts:\n",
        "def parts_of(knobs: CatchKnobs, downsample: int, known: list[PictureParts] = []) "
        "-> PictureParts:\n    if known:\n        return known[0]\n"
        "    known.append(PictureParts(knobs, downsample))\n    return known[0]\n",
        "envs/catch/test_pictures.py",
    ),
    Bug(
        "a ball near the paddle looks the same wherever the paddle is",
        "envs/catch/pictures.py",
        "return self._draw_once(patch, ball_x, ball_y, paddle_x)",
        "return self._draw_once(patch, ball_x, ball_y, SCREEN_WIDTH_PX // 2)",
        "envs/catch/test_pictures.py",
    ),
    Bug(
        "a finished game continues in the next one",
        "envs/atari/vector_env.py",
        "score_continues=terminated & ~is_over",
        "score_continues=terminated",
        "envs/atari/test_vector_env.py",
        "lost_li",
    ),
    Bug(
        "a game that is cut continues in the next one",
        "envs/atari/vector_env.py",
        "score_continues=terminated & ~is_over",
        "score_continues=(terminated | truncated) & ~is_over",
        "envs/atari/test_vector_env.py",
        "continues_nothing",
    ),
    Bug(
        "the check of environments does not look at what continues",
        "testing/play.py",
        "if continues is not False:",
        "if False:",
        "testing/test_check_environment.py",
        "what_a_step_returns",
    ),
)
