"""``thaw bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from thaw.cli.output import bar, print_json, prints_on_stderr, say
from thaw.cli.parsing import Device, FlavorName, Json, Number, Set
from thaw.config.errors import check_above_zero, check_at_least


def bench(
    *,
    flavor: FlavorName = "catch",
    embedding: str = "impala_deep",
    overrides: Set = (),
    device: Device = "auto",
    threads: Number = None,
    packed: Number = None,
    rounds: int = 5,
    seconds: float = 2.0,
    asynchronous: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    as_json: Json = False,
) -> int:
    """Measure how fast thaw is on this machine, and how close to what the machine can do.

    Args:
        flavor: Where to act, as in atari/space_invaders@m1d1.
        embedding: The network's embedding: impala_deep, impala_shallow, mlp, or module:function.
        overrides: As for `thaw train`: agent.* and environment.*.
        device: Where the networks compute.
        threads: Threads of one run alone, on a CPU. By default one for each core.
        packed: How many runs share the machine, one thread each. By default as for `thaw run`.
        rounds: How often each rate is measured. The rates take turns.
        seconds: How long each measurement takes.
        asynchronous: Also measure the asynchronous clock; needs Ray, and 3x agent.actors processes.
        out: Also write the result to this machine's page in this folder, DIR/<hardware>.md.
        as_json: Print one JSON document.
    """
    from thaw.bench import measure, prepare, summarize, table, write_benchmark
    from thaw.experiment.execute import default_num_workers
    from thaw.experiment.single import train_spec
    from thaw.files.atomic import check_out
    from thaw.training.machine import resolve_device

    check_at_least("--rounds", rounds, 1)
    check_at_least("--threads", threads, 1)
    check_at_least("--packed", packed, 1)
    check_above_zero("--seconds", seconds)
    if out is not None:
        check_out(out)
    chosen = str(resolve_device(device))
    with prints_on_stderr():
        workload = prepare(
            train_spec(flavor, steps=1, embedding=embedding, overrides=overrides),
            chosen,
            threads,
            packed or default_num_workers(chosen),
            asynchronous,
        )
        with bar(f"{flavor}, {embedding}", 100, "%") as advance:
            rates = measure(
                workload, num_rounds=rounds, seconds=seconds, watch=lambda part: advance(100 * part)
            )
        summary = summarize(workload, rates)
    if as_json:
        print_json(summary)
    else:
        print(table(summary))
    if out is not None:
        words = ["thaw", "bench", "--flavor", flavor, "--embedding", embedding]
        words += [word for override in overrides for word in ("--set", override)]
        words += ["--rounds", str(rounds), "--seconds", f"{seconds:g}"]
        say(f"written: {write_benchmark(summary, ' '.join(words), out)}")
    return 0
