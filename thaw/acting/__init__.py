"""A policy in environments: act, collect unrolls, play episodes."""
