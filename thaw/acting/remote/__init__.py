"""Actors in processes of their own, on Ray."""
