"""What all runners share: their options, the timed window, the line that they print.

It imports only the standard library, since each runner has another virtual environment.
"""

from __future__ import annotations

import argparse
import json
import time

NUM_ENVS = 32
"""Number of environments, and of the unrolls in a batch."""
UNROLL_LENGTH = 20
WARM_UP_UPDATES = 2


def parse(
    description: str | None, settings: tuple[str, ...] = (), *, can_patch: bool = False
) -> argparse.Namespace:
    """Read a runner's options; `settings` are the allowed values of `--setting`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the window")
    parser.add_argument("--warm-up-seconds", type=float, default=10.0, help="before the window")
    parser.add_argument("--threads", type=int, default=2, help="cores that the program may use")
    if settings:
        parser.add_argument("--setting", choices=settings, default=settings[0])
    if can_patch:
        parser.add_argument("--patched", action="store_true", help="with a faster network")
    return parser.parse_args()


class Window:
    """Decisions that a learner consumed between two of its updates, and the time between them.

    The warm-up begins with the first update, so that the program's start is not timed. The window
    opens with the first update after the warm-up. It closes with the first update that comes at
    least `seconds` later.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.num_updates = 0
        self.first_time: float | None = None
        self.opened: tuple[float, int] | None = None
        self.closed: tuple[float, int] | None = None

    def update(self, steps: int) -> bool:
        """Count an update, with all decisions consumed so far; return whether it was the last."""
        now = time.perf_counter()
        self.num_updates += 1
        if self.first_time is None:
            self.first_time = now
        elif self.opened is None:
            warm_seconds = now - self.first_time
            if self.num_updates > WARM_UP_UPDATES and warm_seconds >= self.options.warm_up_seconds:
                self.opened = now, steps
        elif self.closed is None and now - self.opened[0] >= self.options.seconds:
            self.closed = now, steps
        return self.closed is not None

    def print_result(self) -> None:
        """Print the line that compare.py reads."""
        if self.opened is None or self.closed is None:
            raise SystemExit("the program ended before its window closed; give it more --seconds")
        (start, before), (end, after) = self.opened, self.closed
        result = {"steps": after - before, "seconds": round(end - start, 3)}
        print(json.dumps(result), flush=True)
