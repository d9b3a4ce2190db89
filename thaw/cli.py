"""The command line. Everything heavy is imported by the command that needs it.

Exit status: 0 all done; 1 a run failed; 2 the input was wrong (one line says what, what is
allowed and how to fix it); 130 or 143 interrupted and saved.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from thaw.command_line import (
    Device,
    FlavorName,
    Folder,
    Json,
    Number,
    Set,
    SuiteName,
    TrustCode,
    command,
    parse_and_run,
)
from thaw.config import RunSpec, Runtime, check_environment, num_envs_of
from thaw.plain import InputError, from_plain, override, to_plain, to_yaml
from thaw.suites import load_suite_to_execute
from thaw.trust import check_code, code_named_in
from thaw.words import Flavor, UpdateRule

if TYPE_CHECKING:
    from thaw.policy import Policy

WITH_TRUST = "repeat the command with --trust-code"


@command
def run(
    suite: Positional[SuiteName],
    *,
    out: Folder,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    executor: Literal["local"] = "local",
    workers: Number = None,
    device: Device = "auto",
) -> int:
    """Execute a suite, or go on with it, and write its report.

    Args:
        suite: Built-in name (catch-quick, catch-paper), .yaml file, or module:function.
        out: The suite's folder; the same command goes on where it stopped.
        overrides: Change one value of the suite, as in --set agent.discount=0.9; repeatable.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        seeds: Short for --set seeds=N.
        executor: Where runs execute: processes on this machine.
        workers: Runs at once; by default one for each core.
        device: Where the networks compute.
    """
    from thaw.experiment.execute import execute

    del executor  # there is one so far; the flag keeps its place
    chosen = load_suite_to_execute(
        suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
    )
    summary = execute(chosen, out, num_workers=workers, runtime=Runtime(device=device))
    for key, reason in summary.failed.items():
        _say(f"FAILED {key}: {reason} (see {out / 'runs' / key / 'error.txt'})")
    if summary.failed and summary.stopped_by is None:
        for key in summary.not_run:
            _say(f"not run {key}")
        _say(f"{len(summary.failed)} failed; the same command tries again")
    if summary.stopped_by is not None:
        _say(f"saved; {len(summary.not_run)} runs are left; the same command goes on")
        return 128 + summary.stopped_by
    _write_report(out)
    return 1 if summary.failed else 0


@command
def plan(
    suite: Positional[SuiteName],
    *,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    workers: Number = None,
    as_json: Json = False,
    as_yaml: Annotated[bool, tyro.conf.arg(name="yaml"), tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Show the runs of a suite, their steps, and an estimate of time and disk.

    Args:
        suite: Built-in name, .yaml file, or module:function.
        overrides: As for run.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        seeds: Short for --set seeds=N.
        workers: Runs at once, for the estimate; by default one for each core.
        as_json: Print one JSON document.
        as_yaml: Print the suite as a file that `thaw run` takes.
    """
    from thaw.experiment.check import check_suite
    from thaw.experiment.estimate import estimate
    from thaw.experiment.plan import plan as make_plan

    _check_at_least("--workers", workers, 1)
    chosen = load_suite_to_execute(
        suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
    )
    if as_yaml:
        print(to_yaml(chosen), end="")
        return 0
    planned = make_plan(chosen)
    spaces = check_suite(chosen)[chosen.transfers[0].source]
    cost = estimate(planned, spaces.observation_shape, workers)
    runs = [
        {"key": r.key, "condition": r.spec.condition, "steps": r.spec.steps, "source": r.source_key}
        for r in planned.runs
    ]
    shared = sum(run["condition"] == "pretrain" for run in runs)
    document = {
        "suite": chosen.name,
        "num_runs": len(runs),
        "num_pretrainings": shared,
        "total_steps": planned.total_steps,
        "total_frames": planned.total_steps * spaces.frames_per_step,
        **cost._asdict(),
        "runs": runs,
    }
    if as_json:
        _print_json(document)
        return 0
    width = max(len(run.key) for run in planned.runs)
    for run_ in planned.runs:
        steps = f"{run_.spec.steps:>12,} steps" if run_.spec.steps else f"{'only scored':>18}"
        after = f"  after {run_.source_key}" if run_.source_key else ""
        print(f"{run_.key:{width}} {steps}{after}")
    print(
        f"\n{chosen.name}: {len(runs)} runs, {shared} of them pretrainings that transfers share; "
        f"{planned.total_steps:,} steps in all\n"
        f"about {_duration(cost.hours)} with {cost.num_workers} runs at once on cores like the "
        f"measured ones, {cost.disk_mib:,.0f} MiB on disk"
    )
    return 0


@command
def status(
    folder: Positional[Folder],
    *,
    as_json: Json = False,
) -> int:
    """Show which runs of a suite's folder are done, failed, started or waiting.

    Args:
        folder: What --out was.
        as_json: Print one JSON document.
    """
    from thaw.experiment.store import SuiteFolder

    suite_folder = SuiteFolder(folder)
    rows = [suite_folder.describe(run) for run in suite_folder.plan().runs]
    counts = {
        word: sum(row["status"] == word for row in rows)
        for word in ("done", "failed", "started", "waiting")
    }
    if as_json:
        _print_json({"folder": str(folder), **counts, "runs": rows})
        return 0
    width = max(len(row["key"]) for row in rows)
    for row in rows:
        mean, total = row["mean_return"], row["total_steps"]
        steps = f"{row['steps']:,} of {total:,} steps" if total else "only scored"
        shown = f"return {mean:8.2f}" if mean is not None else row["error"] or ""
        print(f"{row['status']:8} {row['key']:{width}} {steps:>28}  {shown}".rstrip())
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 0


@command
def watch(folder: Positional[Folder]) -> int:
    """Look on while a suite runs, from another terminal, until no run is left.

    Args:
        folder: What --out was.
    """
    from thaw.experiment.watch import watch as look_on

    return 1 if look_on(folder) else 0


@command
def report(
    folder: Positional[Annotated[Path | None, tyro.conf.arg(metavar="DIR")]] = None,
    *,
    scores: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Write tables, figures and a page from a suite's folder, or from anybody's scores.

    Args:
        folder: What --out of `thaw run` was; runs still missing are shown as missing.
        scores: Instead: a CSV file with at least target, condition, seed, mean_return.
        out: Where to; by default DIR/report.
    """
    if (folder is None) == (scores is None):
        raise InputError("give either a suite's folder or --scores FILE.csv --out DIR")
    from thaw.run_folder import check_out

    if out is not None:
        check_out(out)
    if folder is not None:
        _write_report(folder, out)
        return 0
    from thaw.report import infer_spec, read_scores, write_report

    if out is None or scores is None:
        raise InputError("--scores needs --out DIR, the folder to write the report into")
    with _as_input_error():
        table = read_scores(scores)
        index = write_report(table, None, infer_spec(table, name=scores.stem), out)
    print((out / "table.md").read_text(encoding="utf-8"))
    print(f"report: {index}")
    return 0


@command
def train(
    flavor: Positional[FlavorName],
    *,
    out: Folder,
    steps: int,
    seed: int = 0,
    overrides: Set = (),
    device: Device = "auto",
    threads: int = 1,
) -> int:
    """Train a policy from scratch in one flavor.

    Args:
        flavor: As in catch@large_ball; see `thaw flavors`.
        out: The run's folder; the same command goes on where it stopped.
        steps: Decisions of the agent.
        seed: Decides initial weights, episodes and sampling.
        overrides: As in --set agent.embedding=impala_shallow --set environment.downsample=8.
        device: Where the network computes.
        threads: Of the network on a CPU; more than one pays only for the deep network, and only
            on cores that nothing else uses.
    """
    _check_at_least("--steps", steps, 1)
    _check_at_least("--threads", threads, 1)
    plain = {
        "condition": "pretrain",
        "flavor": flavor,
        "update_rule": "scratch",
        "seed": seed,
        "steps": steps,
    }
    return _single_run(_spec(plain, overrides), out, device, threads)


@command
def transfer(
    checkpoint: Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT")]],
    flavor: Positional[FlavorName],
    *,
    rule: str,
    out: Folder,
    steps: int,
    seed: int = 0,
    overrides: Set = (),
    trust_code: TrustCode = False,
    device: Device = "auto",
    threads: int = 1,
) -> int:
    """Move a trained policy to a flavor and train there what a rule says.

    Args:
        checkpoint: A run's folder, or the folder in it that holds policy.safetensors.
        flavor: The target.
        rule: update_all, freeze_embedding, freeze_head, freeze_all, scratch, or one of your own
            like embedding=source:frozen,head=random:trained.
        out: The run's folder; the same command goes on where it stopped.
        steps: Decisions of the agent.
        seed: Decides fresh weights, episodes and sampling.
        overrides: As for train; network and environment are the checkpoint's by default.
        trust_code: Import and call the embedding's module:function that the checkpoint names, and
            import and start what its run's environment names. Only for files that you trust.
        device: Where the network computes.
        threads: Of the network on a CPU; more than one pays only for the deep network, and only
            on cores that nothing else uses.
    """
    import hashlib

    from thaw.checkpoint import find_policy, read_description

    _check_at_least("--steps", steps, 1)
    _check_at_least("--threads", threads, 1)
    policy_file = find_policy(checkpoint)
    origin = _origin(policy_file)
    update_rule = UpdateRule(rule)
    source = origin.flavor if origin and update_rule.needs_source else None
    plain: dict[str, Any] = {
        "condition": rule if re.fullmatch(r"\w+", rule) else "transfer",
        "flavor": flavor,
        "source": source,
        "source_hash": hashlib.sha256(policy_file.read_bytes()).hexdigest()[:16],
        "update_rule": rule,
        "seed": seed,
        "steps": steps if update_rule.trains else 0,
        "agent": to_plain(read_description(policy_file).agent),
        "environment": dict(origin.environment) if origin else {},
    }
    spec = _spec(plain, overrides)
    if not trust_code:
        said = [*code_named_in(Flavor(flavor)), *overrides]
        named = [*code_named_in(spec), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, WITH_TRUST)
    if update_rule.needs_source:
        _check_same_actions(origin, spec.flavor, spec.environment_options)
    return _single_run(spec, out, device, threads, source=checkpoint)


@command
def evaluate(
    policy: Positional[Annotated[str, tyro.conf.arg(metavar="CHECKPOINT|random")]],
    flavor: Positional[FlavorName],
    *,
    episodes: int = 100,
    seed: int = 0,
    greedy: tyro.conf.FlagCreatePairsOff[bool] = False,
    overrides: Set = (),
    trust_code: TrustCode = False,
    device: Device = "auto",
    as_json: Json = False,
) -> int:
    """Score a policy in a flavor, in the environment's raw return.

    Args:
        policy: A checkpoint's folder, or the word random.
        flavor: Where to play; any option may follow, as in catch?downsample=8.
        episodes: In all, evenly spread over environments.
        seed: Decides episodes and sampling.
        greedy: Take the most probable action instead of sampling.
        overrides: Options of the environment, as in --set downsample=8; the checkpoint's by
            default.
        trust_code: Import and call the embedding's module:function that the checkpoint names, and
            import and start what its run's environment names. Only for files that you trust.
        device: Where the network computes.
        as_json: Print one JSON document.
    """
    from thaw.envs import make_env
    from thaw.machine import resolve_device
    from thaw.scoring import evaluate_policy, summary
    from thaw.train import check_same_spaces, policy_for

    _check_at_least("--episodes", episodes, 1)
    _check_at_least("--seed", seed, 0)
    place, acting, origin = Flavor(flavor), None, None
    if policy != "random":
        said = [*code_named_in(place), *(f"environment.{item}" for item in overrides)]
        acting, origin = _open(policy, said, trust_code)
    options: dict[str, Any] = dict(origin.environment) if origin else {}
    for item in overrides:
        override(options, item)
    check_environment(options)
    num_envs = num_envs_of(options)
    options.pop("num_envs", None)
    chosen_device = str(resolve_device(device))
    _check_same_actions(origin, place, options)
    env = make_env(place, 1, **options)
    if acting is not None:
        here = policy_for(env, acting.config, place)
        check_same_spaces(acting, here, policy, place)
        acting.to(chosen_device)
    env.close()
    with _bar(f"{policy} in {place}", episodes, "episodes") as advance:
        played = evaluate_policy(
            acting, place, num_episodes=episodes, seed=seed, num_envs=num_envs, greedy=greedy,
            device=chosen_device, options=options, watch=lambda episode: advance(1),
        )  # fmt: skip
    document = {
        "policy": policy,
        "flavor": str(place),
        "seed": seed,
        "actions": "greedy" if greedy else "sampled",
        **summary([episode.episode_return for episode in played]),
        "num_truncated": sum(episode.truncated for episode in played),
        "mean_length_steps": sum(episode.length_steps for episode in played) / len(played),
    }
    if as_json:
        _print_json(document)
    else:
        sem = f" +- {document['sem']:.2f}" if document["sem"] is not None else ""
        print(
            f"{document['mean_return']:.2f}{sem} (mean and standard error of {episodes} episodes)"
        )
    return 0


@command
def record(
    policy: Positional[Annotated[str, tyro.conf.arg(metavar="CHECKPOINT|random")]],
    flavor: Positional[FlavorName],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.mp4")],
    episodes: int = 1,
    seed: int = 0,
    greedy: tyro.conf.FlagCreatePairsOff[bool] = False,
    trust_code: TrustCode = False,
) -> int:
    """Film a policy in a flavor, with its score drawn in.

    Args:
        policy: A checkpoint's folder, or the word random.
        flavor: Where to play; the environment's options are the checkpoint's by default, and any
            may follow, as in catch?downsample=8.
        out: The film, .mp4.
        episodes: In all, one behind the other.
        seed: Decides episodes and sampling.
        greedy: Take the most probable action instead of sampling.
        trust_code: Import and call the embedding's module:function that the checkpoint names, and
            import and start what its run's environment names. Only for files that you trust.
    """
    from thaw.envs import make_env
    from thaw.scoring import summary
    from thaw.train import check_same_spaces, policy_for
    from thaw.video import record as record_film

    _check_at_least("--episodes", episodes, 1)
    _check_at_least("--seed", seed, 0)
    place, acting, origin = Flavor(flavor), None, None
    if policy != "random":
        acting, origin = _open(policy, code_named_in(place), trust_code)
    options = origin.environment_options if origin else {}
    _check_same_actions(origin, place, options)
    if acting is not None:
        env = make_env(place, 1, **options)
        check_same_spaces(acting, policy_for(env, acting.config, place), policy, place)
        env.close()
    played = record_film(
        acting, place, out, num_episodes=episodes, seed=seed, greedy=greedy, options=options
    )
    mean = summary([episode.episode_return for episode in played])["mean_return"]
    print(f"{out}: {episodes} episodes, mean return {mean:.2f}")
    return 0


@command
def flavors(
    pattern: Positional[Annotated[str, tyro.conf.arg(metavar="PATTERN")]] = "*",
    *,
    as_json: Json = False,
) -> int:
    """List the flavors that ship.

    Args:
        pattern: A shell pattern or a part of the address.
        as_json: Print one JSON document.
    """
    from thaw.envs import list_flavors

    found = list_flavors(pattern)
    if as_json:
        _print_json(found)
    elif found:
        print("\n".join(found))
    else:
        _say(f"no flavor matches '{pattern}'; `thaw flavors` lists all")
    return 0


@command
def gallery(
    suite: Positional[SuiteName],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")],
    overrides: Set = (),
    trust_code: TrustCode = False,
    steps: int = 20,
) -> int:
    """Draw the default flavors of a suite beside their variants, after the same actions.

    Args:
        suite: Built-in name, .yaml file, or module:function.
        out: The picture, .png.
        overrides: As for run.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        steps: Seeded random decisions before the picture is taken.
    """
    from thaw.gallery import draw_gallery
    from thaw.run_folder import check_out

    if out.suffix != ".png" or out.is_dir():
        raise InputError(f"--out {out} is not a .png file")
    check_out(out.parent)
    _check_at_least("--steps", steps, 0)
    chosen = load_suite_to_execute(suite, overrides, trust_code=trust_code, how=WITH_TRUST)
    draw_gallery(chosen, out, num_steps=steps)
    print(out)
    return 0


@command
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
    from thaw.machine import resolve_device
    from thaw.run_folder import check_out

    _check_at_least("--rounds", rounds, 1)
    _check_at_least("--threads", threads, 1)
    _check_at_least("--packed", packed, 1)
    if seconds <= 0:
        raise InputError(f"--seconds is {seconds:g}; it must be above 0")
    if out is not None:
        check_out(out)
    plain = {
        "condition": "pretrain", "flavor": flavor, "update_rule": "scratch", "seed": 0, "steps": 1,
        "agent": {"embedding": embedding},
    }  # fmt: skip
    chosen = str(resolve_device(device))
    workload = prepare(
        _spec(plain, overrides),
        chosen,
        threads,
        packed or default_num_workers(chosen),
        asynchronous,
    )
    with _bar(f"{flavor}, {embedding}", 100, "%") as advance:
        rates = measure(
            workload, num_rounds=rounds, seconds=seconds, watch=lambda part: advance(100 * part)
        )
    summary = summarize(workload, rates)
    if as_json:
        _print_json(summary)
    else:
        print(table(summary))
    if out is not None:
        words = ["thaw", "bench", "--flavor", flavor, "--embedding", embedding]
        words += [word for override in overrides for word in ("--set", override)]
        words += ["--rounds", str(rounds), "--seconds", f"{seconds:g}"]
        _say(f"written: {write_benchmark(summary, ' '.join(words), out)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    # A user's module:function may lie in the working folder, as with `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        status = parse_and_run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()  # a reader that left early (`| head`) is found out here
    except InputError as error:
        _say("thaw: " + " ".join(str(error).split()))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        return 1
    except OSError as error:
        _say(f"thaw: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _spec(plain: dict[str, Any], overrides: Sequence[str]) -> RunSpec:
    """Build the description of a single run."""
    for item in overrides:
        if item.partition("=")[0].split(".")[0] not in ("agent", "environment", "evaluation"):
            raise InputError(
                f"--set {item}: a single run has agent.*, environment.* and evaluation.*"
            )
        override(plain, item)
    return from_plain(plain, RunSpec, "the run")


def _single_run(
    spec: RunSpec, out: Path, device: str, threads: int, source: Path | None = None
) -> int:
    """Execute one run in this process, with a bar, saving when interrupted."""
    from thaw.experiment.plan import PlannedRun
    from thaw.experiment.progress import Display
    from thaw.machine import resolve_device
    from thaw.run_folder import RunFolder
    from thaw.train import Stopped, execute_run

    caught: list[int] = []
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda number, frame: caught.append(number))
    chosen = str(resolve_device(device))
    runtime = Runtime(device=chosen, num_threads=threads)
    planned = PlannedRun(str(spec.flavor), spec, None)
    with Display([planned], []) as display:
        display.start(planned)
        try:
            result = execute_run(
                spec, RunFolder(out), runtime, source=source,
                watch=lambda progress: display.update(
                    planned, progress.steps, progress.mean_return
                ),
                should_stop=lambda: bool(caught),
            )  # fmt: skip
        except Stopped:
            display.finish(planned, "stopped", None)
            _say(f"saved in {out}; the same command goes on")
            return 128 + caught[0]
        display.finish(planned, "done", result)
    _print_json(result)
    return 0


def _check_same_actions(origin: RunSpec | None, place: Flavor, options: dict[str, Any]) -> None:
    """Check that the actions' names, where both flavors have them, are those of the training."""
    from thaw.experiment.check import check_same_actions, flavor_spaces

    if origin is None:
        return
    there = flavor_spaces(origin.flavor, origin.environment_options)
    here = flavor_spaces(place, options)
    if there.action_meanings is not None and here.action_meanings is not None:
        check_same_actions(origin.flavor, there, place, here)


def _open(checkpoint: str, said: Sequence[str], trust_code: bool) -> tuple[Policy, RunSpec | None]:
    """Load a policy and the run that it comes from, unless they name code that was not ``said``."""
    from thaw.checkpoint import find_policy, load_policy, read_description

    file = find_policy(checkpoint)
    agent, origin = read_description(file).agent, _origin(file)
    if not trust_code:
        named = [*code_named_in(agent), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, WITH_TRUST)
    return load_policy(checkpoint, embedding=agent.embedding), origin


def _origin(policy_file: Path) -> RunSpec | None:
    """Return the run that a policy file lies in, if it lies in one."""
    from thaw.run_folder import RunFolder

    for folder in (policy_file.parent, policy_file.parent.parent):
        if (folder / "run.json").is_file():
            return RunFolder(folder).spec()
    return None


def _write_report(folder: Path, out: Path | None = None) -> None:
    """Derive the tables of a suite's folder, write its report and print the main table."""
    from thaw.experiment.store import SuiteFolder
    from thaw.report import ReportSpec, write_report

    suite_folder = SuiteFolder(folder)
    suite = suite_folder.suite()
    results = suite_folder.results()
    spec = ReportSpec(
        name=suite.name,
        transfers=tuple((str(t.source), str(t.target)) for t in suite.transfers),
        conditions=suite.conditions,
        seeds=suite.seed_list,
        normalize=suite.report.normalize,
        paper=suite.report.paper,
    )
    with _as_input_error():
        index = write_report(results.scores, results.curves, spec, out or suite_folder.report)
    print((index.parent / "table.md").read_text(encoding="utf-8"))
    print(f"report: {index}")


@contextlib.contextmanager
def _as_input_error() -> Iterator[None]:
    """Let the report's complaints about its input count as wrong input."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from None


@contextlib.contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Any]:
    """Show a bar with rate and time left on a terminal; nothing when piped."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda amount: bars.advance(task, amount)


def _check_at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"{flag} is {value}; it must be at least {least}")


def _duration(hours: float) -> str:
    """Say a duration in the unit that a person would choose."""
    for unit, length_hours in (("days", 24.0), ("hours", 1.0)):
        if hours >= 2 * length_hours:
            return f"{hours / length_hours:.0f} {unit}"
    return f"{max(1, round(60 * hours))} min"


def _with_seeds(overrides: Sequence[str], seeds: int | None) -> list[str]:
    return [*overrides, *([f"seeds={seeds}"] if seeds is not None else [])]


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2))


def _say(line: str) -> None:
    print(line, file=sys.stderr)
