"""Metrics of learning: how good before, how fast, at what price on the source (docs/metrics.md)."""
