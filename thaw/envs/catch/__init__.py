"""Catch: a ball falls, a touch moves the paddle. AndroidEnv's Catch app without a phone.

One throw is one episode. Its only reward, +1 for a catch and -1 for a miss, comes at its end.
`options` and `knobs` list what can be set, `rules` has the app's rules, `touches` turns actions
into touches, `screen` draws the screen and `pictures` the small pictures that an agent sees;
`vector_env` plays many games at once, `single_env` one.
"""

from thaw.envs.catch.knobs import VARIANTS, CatchKnobs
from thaw.envs.catch.single_env import CatchEnv
from thaw.envs.catch.vector_env import CatchVectorEnv

__all__ = ["VARIANTS", "CatchEnv", "CatchKnobs", "CatchVectorEnv"]
