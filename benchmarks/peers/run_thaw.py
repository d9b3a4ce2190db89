"""Time `thaw train`: the whole training with its logs and checkpoints."""

from __future__ import annotations

import tempfile
from pathlib import Path

from window import NUM_ENVS, UNROLL_LENGTH, Window, parse

from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

if __name__ == "__main__":
    options = parse(__doc__)
    window = Window(options)
    spec = RunSpec(
        condition="pretrain",
        flavor=Flavor("atari/space_invaders@m1d1"),
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=10**9,  # the window ends it
        environment={"num_envs": NUM_ENVS, "num_threads": options.threads},
        agent=AgentConfig(unroll_length=UNROLL_LENGTH),
    )

    def watch(progress: Progress) -> None:
        window.update(progress.steps)

    with tempfile.TemporaryDirectory() as folder:
        try:
            execute_run(
                spec,
                RunFolder(Path(folder) / "run"),
                Runtime(num_threads=options.threads),
                watch=watch,
                should_stop=lambda: window.closed is not None,
            )
        except Stopped:
            window.print_result()
