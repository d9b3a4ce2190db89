"""A suite's runs on the machines of a Ray cluster: `thaw run SUITE --out DIR --executor ray`."""
