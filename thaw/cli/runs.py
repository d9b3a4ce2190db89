"""``thaw train``, ``transfer``, ``evaluate`` and ``record``: one run at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from thaw.cli.output import (
    bar,
    check_above_zero,
    check_at_least,
    environments_on_stderr,
    print_json,
    say,
)
from thaw.cli.parsing import (
    WITH_TRUST,
    Device,
    FlavorName,
    Folder,
    Json,
    Set,
    StallSeconds,
    TrustCode,
)
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, split_environment
from thaw.config.runtime import STALL_SECONDS, Runtime
from thaw.config.strict import override, to_plain
from thaw.config.trust import check_code, code_named_in
from thaw.config.update_rule import UpdateRule
from thaw.experiment.single import check_trained_actions, single_spec
from thaw.files.run_folder import origin_of

if TYPE_CHECKING:
    from thaw.policy import Policy


def train(
    flavor: Positional[FlavorName],
    *,
    out: Folder,
    steps: int,
    seed: int = 0,
    overrides: Set = (),
    device: Device = "auto",
    threads: int = 1,
    stall_seconds: StallSeconds = STALL_SECONDS,
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
        stall_seconds: End the run if it makes no progress for this long: its environment hangs.
    """
    check_at_least("--steps", steps, 1)
    check_at_least("--threads", threads, 1)
    check_above_zero("--stall-seconds", stall_seconds)
    plain = {
        "condition": "pretrain",
        "flavor": flavor,
        "update_rule": "scratch",
        "seed": seed,
        "steps": steps,
    }
    runtime = Runtime(device=device, num_threads=threads, stall_seconds=stall_seconds)
    return run_alone(single_spec(plain, overrides), out, runtime)


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
    stall_seconds: StallSeconds = STALL_SECONDS,
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
        stall_seconds: End the run if it makes no progress for this long: its environment hangs.
    """
    import hashlib

    from thaw.files.checkpoint import find_policy, read_description

    check_at_least("--steps", steps, 1)
    check_at_least("--threads", threads, 1)
    check_above_zero("--stall-seconds", stall_seconds)
    policy_file = find_policy(checkpoint)
    origin = origin_of(policy_file)
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
    spec = single_spec(plain, overrides)
    if not trust_code:
        said = [*code_named_in(Flavor(flavor)), *overrides]
        named = [*code_named_in(spec), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, WITH_TRUST)
    if update_rule.needs_source:
        with environments_on_stderr():
            check_trained_actions(origin, spec.flavor, spec.environment_options)
    runtime = Runtime(device=device, num_threads=threads, stall_seconds=stall_seconds)
    return run_alone(spec, out, runtime, source=checkpoint)


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
    from thaw.acting.evaluation import evaluate_policy, summary
    from thaw.envs.families import make_env
    from thaw.training.build import check_same_spaces, policy_for
    from thaw.training.machine import resolve_device

    check_at_least("--episodes", episodes, 1)
    check_at_least("--seed", seed, 0)
    place, acting, origin = Flavor(flavor), None, None
    with environments_on_stderr():
        if policy != "random":
            said = [*code_named_in(place), *(f"environment.{item}" for item in overrides)]
            acting, origin = _open(policy, said, trust_code)
        options: dict[str, Any] = dict(origin.environment) if origin else {}
        for item in overrides:
            override(options, item)
        num_envs, options = split_environment(options)
        chosen_device = str(resolve_device(device))
        check_trained_actions(origin, place, options)
        env = make_env(place, 1, **options)
        if acting is not None:
            here = policy_for(env, acting.config, place)
            check_same_spaces(acting, here, policy, place)
            acting.to(chosen_device)
        env.close()
        with bar(f"{policy} in {place}", episodes, "episodes") as advance:
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
        print_json(document)
    else:
        sem = f" +- {document['sem']:.2f}" if document["sem"] is not None else ""
        print(
            f"{document['mean_return']:.2f}{sem} (mean and standard error of {episodes} episodes)"
        )
    return 0


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
    from thaw.acting.evaluation import summary
    from thaw.acting.video import record as record_film
    from thaw.envs.families import make_env
    from thaw.training.build import check_same_spaces, policy_for

    check_at_least("--episodes", episodes, 1)
    check_at_least("--seed", seed, 0)
    place, acting, origin = Flavor(flavor), None, None
    with environments_on_stderr():
        if policy != "random":
            acting, origin = _open(policy, code_named_in(place), trust_code)
        options = origin.environment_options if origin else {}
        check_trained_actions(origin, place, options)
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


def run_alone(spec: RunSpec, out: Path, runtime: Runtime, source: Path | None = None) -> int:
    """Execute one run in this process, with a bar; a signal saves and stops it."""
    import msgspec

    from thaw.experiment.display import Display
    from thaw.experiment.plan import PlannedRun
    from thaw.experiment.process_tree import kill_descendants
    from thaw.experiment.signals import StopRequest, end, handled_even_if_hung
    from thaw.experiment.stalls import Silence, describe_stall, watchdog
    from thaw.files.run_folder import RunFolder
    from thaw.training.machine import resolve_device
    from thaw.training.progress import Progress, Stopped
    from thaw.training.run import execute_run

    chosen = str(resolve_device(runtime.device))
    runtime = msgspec.structs.replace(runtime, device=chosen)
    planned, folder = PlannedRun(str(spec.flavor), spec, None), RunFolder(out)
    stop, silence, steps = StopRequest(), Silence(), 0

    def watch(progress: Progress) -> None:
        nonlocal steps
        steps = progress.steps
        display.update(planned, steps, progress.mean_return)

    def should_stop() -> bool:
        silence.end()
        return stop.signum is not None

    def stalled() -> None:
        reason = describe_stall(runtime.stall_seconds, steps, spec.steps)
        folder.fail(reason)
        kill_descendants(os.getpid())
        end(f"thaw: {reason}; the same command goes on from the last checkpoint", 1)

    with (
        handled_even_if_hung(stop),
        watchdog(silence, runtime.stall_seconds, stalled),
        environments_on_stderr(),
        Display([planned], []) as display,
    ):
        display.start(planned)
        try:
            result = execute_run(
                spec, folder, runtime, source=source, watch=watch, should_stop=should_stop
            )
        except Stopped:
            display.finish(planned, "stopped", None)
            say(f"saved in {out}; the same command goes on")
            assert stop.signum is not None
            return 128 + stop.signum
        display.finish(planned, "done", result)
    print_json(result)
    return 0


def _open(checkpoint: str, said: Sequence[str], trust_code: bool) -> tuple[Policy, RunSpec | None]:
    """Load a policy and the run that it comes from, unless they name code that was not ``said``."""
    from thaw.files.checkpoint import find_policy, load_policy, read_description

    file = find_policy(checkpoint)
    agent, origin = read_description(file).agent, origin_of(file)
    if not trust_code:
        named = [*code_named_in(agent), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, WITH_TRUST)
    return load_policy(checkpoint, embedding=agent.embedding), origin
