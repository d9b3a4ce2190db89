"""What lies on disk: run folders, checkpoints, logs."""
