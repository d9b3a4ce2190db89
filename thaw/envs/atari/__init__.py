"""Atari games, every mode and difficulty that ALE has, on EnvPool."""
