"""IMPALA's learning rule (Espeholt et al. 2018, arXiv 1802.01561); it imports no environment."""
