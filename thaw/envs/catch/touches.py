"""Actions as touches on the screen, after AndroidEnv's DiscreteActionWrapper."""

from __future__ import annotations

from typing import Final

GRID_ROWS: Final = 9

GRID_COLUMNS: Final = 6

NUM_TOUCHES: Final = GRID_ROWS * GRID_COLUMNS

# Touch only; and LIFT, REPEAT; {TOUCH, LIFT} x grid; {TOUCH, LIFT, REPEAT} x grid. In each of
# them the touches come first, so that an action below 54 is a touch and no other one is.
ACTION_COUNTS: Final = (NUM_TOUCHES, NUM_TOUCHES + 2, 2 * NUM_TOUCHES, 3 * NUM_TOUCHES)

# The wrapper clips its noise here, so that a touch stays in its cell.
NOISE_LIMIT: Final = 0.4999

NO_TOUCH: Final = -1
