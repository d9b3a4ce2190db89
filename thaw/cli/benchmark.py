"""``thaw bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from thaw.cli.output import bar, check_at_least, environments_on_stderr, print_json, say
from thaw.cli.parsing import Device, FlavorName, Json, Number, Set
from thaw.config.errors import InputError
from thaw.experiment.single import single_spec


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
    """Measure how fast thaw is here, and how near to what the machine can do.

    Args:
        flavor: Where to act, as in atari/space_invaders@m1d1.
        embedding: impala_deep, impala_shallow, mlp, or module:function.
        overrides: As for train: agent.* and environment.*.
        device: Where the networks compute.
        threads: Of one run alone, on a CPU; by default one for each core.
        packed: Runs at once, one thread each; by default as many as `thaw run` would take.
        rounds: How often each rate is measured, in turn with the others.
        seconds: Of each measurement.
        asynchronous: Measure that clock too; needs Ray and three times agent.actors processes.
        out: Also put the result on this machine's page in this folder, DIR/<hardware>.md.
        as_json: Print one JSON document.
    """
    from thaw.bench import measure, prepare, summarize, table, write_benchmark
    from thaw.experiment.execute import default_num_workers
    from thaw.files.atomic import check_out
    from thaw.training.machine import resolve_device

    check_at_least("--rounds", rounds, 1)
    check_at_least("--threads", threads, 1)
    check_at_least("--packed", packed, 1)
    if seconds <= 0:
        raise InputError(f"--seconds is {seconds:g}; it must be above 0")
    if out is not None:
        check_out(out)
    plain = {
        "condition": "pretrain", "flavor": flavor, "update_rule": "scratch", "seed": 0, "steps": 1,
        "agent": {"embedding": embedding},
    }  # fmt: skip
    chosen = str(resolve_device(device))
    with environments_on_stderr():
        workload = prepare(
            single_spec(plain, overrides),
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
