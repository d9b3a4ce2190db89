"""Families that EnvPool serves: MiniGrid, Procgen, and any other of its tasks."""
