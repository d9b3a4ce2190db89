"""Runs for TensorBoard and Weights & Biases, rebuilt from each run's own files."""
