"""The files that thaw writes: run folders, checkpoints, logs."""
