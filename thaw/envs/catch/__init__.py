"""Catch: a ball falls, a touch moves the paddle. AndroidEnv's Catch app without a phone.

One throw is one episode. Its only reward, +1 for a catch and -1 for a miss, comes at its end.
`knobs` says what can be set, `rules` what happens, `touches` what an action does, `screen` and
`pictures` what is seen; `vector_env` plays many games at once, `single_env` one.
"""

from thaw.envs.catch.knobs import VARIANTS, CatchKnobs
from thaw.envs.catch.single_env import CatchEnv, register
from thaw.envs.catch.vector_env import CatchVectorEnv

__all__ = ["VARIANTS", "CatchEnv", "CatchKnobs", "CatchVectorEnv", "register"]

register()
