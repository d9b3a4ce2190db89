"""Environments by address: ``make_env("catch@large_ball", num_envs=8)``."""

from thaw.envs.families import list_flavors, make_env
from thaw.envs.spaces import VectorEnv

__all__ = ["VectorEnv", "list_flavors", "make_env"]
