"""Where the runs of a suite execute: in processes of this machine, or on a Ray cluster."""
