"""A phone in software that runs the Catch app, for AndroidEnv's own stack."""
