"""``thaw train``, ``transfer``, ``evaluate`` and ``record``: one run at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import bar, print_json, prints_on_stderr, say
from thaw.cli.parsing import (
    WITH_TRUST,
    Device,
    FlavorName,
    Folder,
    Json,
    Number,
    PolicyName,
    Set,
    StallSeconds,
    TrustCode,
)
from thaw.config.errors import InputError, check_above_zero, check_at_least
from thaw.config.runtime import STALL_SECONDS, Runtime
from thaw.files.milestones import Milestones

if TYPE_CHECKING:
    from thaw.config.run_spec import RunSpec


def train(
    flavor: Positional[FlavorName],
    *,
    out: Folder,
    steps: int,
    seed: int = 0,
    milestones: Number = None,
    overrides: Set = (),
    device: Device = "auto",
    threads: int = 1,
    stall_seconds: StallSeconds = STALL_SECONDS,
) -> int:
    """Train a policy from scratch in one flavor.

    Args:
        flavor: Where to train, as in catch@large_ball; `thaw flavors` lists them.
        out: The run's folder. The same command continues a stopped run.
        steps: How many decisions the agent makes.
        seed: Decides initial weights, episodes and sampling.
        milestones: Keep so many policies on the way, log-spaced from 1 % of the steps to all.
        overrides: Change agent.*, environment.* or evaluation.*, as in --set agent.discount=0.9.
        device: Where the network computes.
        threads: Threads of the network on a CPU. More than 1 help only the deep network.
        stall_seconds: End the run if it makes no progress for this long.
    """
    from thaw.experiment.single import train_spec

    spec = train_spec(flavor, steps=steps, seed=seed, milestones=milestones, overrides=overrides)
    return _execute(spec, out, device, threads, stall_seconds)


def transfer(
    checkpoint: Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT")]],
    flavor: Positional[FlavorName],
    *,
    rule: str,
    out: Folder,
    steps: int,
    seed: int = 0,
    source_step: Number = None,
    overrides: Set = (),
    trust_code: TrustCode = False,
    device: Device = "auto",
    threads: int = 1,
    stall_seconds: StallSeconds = STALL_SECONDS,
) -> int:
    """Move a trained policy to a flavor, and train there the parts that a rule names.

    Args:
        checkpoint: A run's folder, or the folder that holds policy.safetensors.
        flavor: The target, as in catch@large_ball; `thaw flavors` lists them.
        rule: A rule of `thaw rules`, as in freeze_embedding, or one in words, as in
            embedding=source:frozen,head=random:trained.
        out: The run's folder. The same command continues a stopped run.
        steps: How many decisions the agent makes.
        seed: Decides fresh weights, episodes and sampling.
        source_step: Start from this milestone of the checkpoint's run (`thaw train --milestones`).
        overrides: As for `thaw train`. By default the checkpoint decides agent and environment.
        trust_code: Execute the code that the checkpoint names. Only for files that you trust.
        device: Where the network computes.
        threads: Threads of the network on a CPU. More than 1 help only the deep network.
        stall_seconds: End the run if it makes no progress for this long.
    """
    from thaw.experiment.single import transfer_spec

    if source_step is not None:
        checkpoint = Milestones(checkpoint).find(source_step)
    with prints_on_stderr():
        spec = transfer_spec(
            checkpoint, flavor, rule, steps=steps, seed=seed,
            source_step=source_step, overrides=overrides,
            trust_code=trust_code, how=WITH_TRUST,
        )  # fmt: skip
    return _execute(spec, out, device, threads, stall_seconds, source=checkpoint)


def evaluate(
    policy: Positional[PolicyName],
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
    """Score a policy in a flavor, by the environment's raw return.

    Args:
        policy: A run's folder, or the folder that holds policy.safetensors, or the word random.
        flavor: Where to play, as in catch@large_ball; `thaw flavors` lists them.
        episodes: How many episodes to play, in all environments together.
        seed: Decides episodes and sampling.
        greedy: Take the most probable action instead of sampling.
        overrides: Set an option of the environment, as in --set downsample=8.
        trust_code: Execute the code that the checkpoint names. Only for files that you trust.
        device: Where the network computes.
        as_json: Print one JSON document.
    """
    from thaw.experiment.opened_policy import open_policy

    check_at_least("--episodes", episodes, 1)
    with prints_on_stderr():
        opened = open_policy(
            policy, flavor, overrides=overrides, trust_code=trust_code, how=WITH_TRUST
        )
        with bar(f"{policy} in {opened.flavor}", episodes, "episodes") as advance:
            score = opened.evaluate(
                num_episodes=episodes, seed=seed, greedy=greedy, device=device,
                watch=lambda episode: advance(1),
            )  # fmt: skip
    if as_json:
        print_json(score)
    else:
        sem, what = "", "return"
        if score["sem"] is not None:  # of one episode there is none
            sem, what = f" +- {score['sem']:.2f}", "mean and standard error"
        print(f"{score['mean_return']:.2f}{sem} ({what} of {_num_episodes(episodes)})")
    return 0


def record(
    policy: Positional[PolicyName],
    flavor: Positional[FlavorName],
    *,
    out: Annotated[str, tyro.conf.arg(metavar="FILE.mp4")],
    episodes: int = 1,
    seed: int = 0,
    greedy: tyro.conf.FlagCreatePairsOff[bool] = False,
    trust_code: TrustCode = False,
) -> int:
    """Film a policy in a flavor, with its score above the picture.

    Args:
        policy: A run's folder, or the folder that holds policy.safetensors, or the word random.
        flavor: Where to play, as in catch?downsample=8. By default with the checkpoint's options.
        out: The film, an .mp4 file.
        episodes: How many episodes to film, one after the other.
        seed: Decides episodes and sampling.
        greedy: Take the most probable action instead of sampling.
        trust_code: Execute the code that the checkpoint names. Only for files that you trust.
    """
    from thaw.experiment.opened_policy import open_policy

    check_at_least("--episodes", episodes, 1)
    film = Path(out)
    if film.suffix != ".mp4" or out.endswith("/"):  # Path drops the slash of a folder
        raise InputError(f"--out {out} is not an .mp4 file")
    with prints_on_stderr():
        opened = open_policy(policy, flavor, trust_code=trust_code, how=WITH_TRUST)
        played = opened.record(film, num_episodes=episodes, seed=seed, greedy=greedy)
    mean = sum(episode.episode_return for episode in played) / len(played)
    shown = "mean return" if episodes > 1 else "return"
    print(f"{out}: {_num_episodes(episodes)}, {shown} {mean:.2f}")
    return 0


def _num_episodes(number: int) -> str:
    """Return a number of episodes in words."""
    return "1 episode" if number == 1 else f"{number} episodes"


def _execute(
    spec: RunSpec,
    out: Path,
    device: str,
    threads: int,
    stall_seconds: float,
    source: Path | None = None,
) -> int:
    """Execute one run, print its result, and return the exit status."""
    from thaw.experiment.single import run_alone
    from thaw.files.run_folder import RunFolder

    check_at_least("--threads", threads, 1)
    check_above_zero("--stall-seconds", stall_seconds)
    runtime = Runtime(device=device, num_threads=threads, stall_seconds=stall_seconds)
    with prints_on_stderr():
        outcome = run_alone(spec, RunFolder(out), runtime=runtime, source=source)
    if outcome.stopped_by is not None:
        say(f"saved in {out}; the same command continues")
        return 128 + outcome.stopped_by
    print_json(outcome.result)
    return 0
