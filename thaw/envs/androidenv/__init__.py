"""``androidenv/<task>@<variant>``: tasks on Android devices, through DeepMind's AndroidEnv.

Read in this order: `options` (what can be set), `task_files` (what a task is), `family` (makes the
devices), `vector` and `device` (play them), `emulator` (Google's emulator), and for
``device=simulated`` `simulated.catch_app` and `simulated.phone` (a phone that runs Catch) and
`simulated.simulator` (this phone under AndroidEnv's interfaces). Only `device`, `emulator`,
`simulated.simulator` and single functions in `family` and `task_files` import android_env.
"""
