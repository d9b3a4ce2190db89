"""Actors in other processes, on Ray."""
