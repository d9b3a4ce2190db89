"""``androidenv/<task>@<variant>``: tasks on Android devices, through DeepMind's AndroidEnv.

Read in this order: `options` (what can be set), `task_files` (what a task is), `family` (which
devices are made), `vector` and `device` (how they are played), `emulator` (Google's emulator), and
for ``device=simulated`` `catch_app` and `phone` (a phone that runs Catch) and `simulated_device`
(that phone behind AndroidEnv's interfaces). Only `device`, `emulator`, `simulated_device` and
functions that need it import android_env.
"""
