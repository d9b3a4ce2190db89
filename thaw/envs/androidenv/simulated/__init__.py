"""A simulated phone that runs the Catch app, for AndroidEnv's own stack."""
