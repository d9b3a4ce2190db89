"""Atari games on EnvPool, in every mode and difficulty that ALE has."""
