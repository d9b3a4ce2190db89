"""A suite: many runs, their folder and their report."""
