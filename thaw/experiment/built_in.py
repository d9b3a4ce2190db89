"""The built-in suites, as functions that return a Suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig
from thaw.config.suite import ReportConfig, Suite, Transfer

CATCH_VARIANTS = ("large_ball", "small_ball", "small_paddle", "red_background")
"""In the column order of the paper's table 2."""
CATCH_BOUNDS = (-1.0, 1.0)
"""Of a return: a ball is missed or caught."""


def catch_quick() -> Suite:
    """A dark ball and a small paddle, all six conditions, eight seeds: minutes on a laptop.

    One change of what is seen and one of what must be done. The numbers are not the paper's: images
    are 60x40, the network is shallow, the LSTM narrow, a ball falls in ten decisions, and budgets
    are short. Transfers, budgets and optimizer were chosen with other seeds (docs/decisions.md).
    """
    return Suite(
        name="catch-quick",
        transfers=(
            Transfer(source=Flavor("catch"), target=Flavor("catch?ball_color=#101010")),
            Transfer(source=Flavor("catch"), target=Flavor("catch@small_paddle")),
        ),
        seeds=tuple(range(21, 29)),
        pretrain_steps=70_000,
        transfer_steps=20_000,
        environment={"num_envs": 16, "downsample": 8, "frames_per_step": 16},
        agent=AgentConfig(
            embedding="impala_shallow",
            lstm_size=128,
            fc_size=128,
            discount=0.9,
            lambda_=0.5,
            entropy_cost=0.003,
            optimizer="adam",
            learning_rate=2e-3,
        ),
        evaluation=EvaluationConfig(episodes=200, score="evaluation"),
        report=ReportConfig(bounds=CATCH_BOUNDS, num_bins=40),
    )


def catch_rules() -> Suite:
    """Twelve update rules on the two changes of catch-quick: ten minutes on two cores.

    All else is catch-quick's, so the runs that both have are the same. Left out of the named rules
    are ``norms_only``, because the network has no such layers, ``reset_value``, of which
    ``critic_warm_up`` is the careful form, and ``random_features``, a control.
    """
    return msgspec.structs.replace(
        catch_quick(),
        name="catch-rules",
        conditions=(
            "random",
            "scratch",
            "update_all",
            "freeze_embedding",
            "freeze_head",
            "linear_probe_then_all",
            "gradual_unfreezing",
            "layer_decay",
            "l2_sp",
            "shrink_and_perturb",
            "critic_warm_up",
            "first_block_only",
            "last_block_and_head",
            "kickstart",
            "freeze_all",
        ),
    )


def catch_paper() -> Suite:
    """The paper's Catch experiment: table 2 and figure 5 (Dean, Toyama, Precup 2022)."""
    return Suite(
        name="catch-paper",
        transfers=_from_catch(*CATCH_VARIANTS),
        seeds=5,
        pretrain_steps=5_000_000,
        transfer_steps=5_000_000,
        environment={"num_envs": 32},
        report=ReportConfig(paper="table2", bounds=CATCH_BOUNDS, num_bins=200),
    )


def androidenv_catch_paper() -> Suite:
    """The paper's Catch experiment on Android devices, in real time, with five actors.

    The devices are the emulators catch_0 to catch_4 of docs/androidenv.md, unless --set
    environment.* names others. There are 85 trainings. Each takes five devices about a day: 5M
    decisions at 15 a second, and AndroidEnv's resets. Use --workers 1, because there is one set
    of devices.
    """
    return Suite(
        name="androidenv-catch-paper",
        transfers=_on_androidenv(*CATCH_VARIANTS),
        seeds=5,
        pretrain_steps=5_000_000,
        transfer_steps=5_000_000,
        environment={"num_envs": 5, "avd_name": "catch_{index}", "apk": "catch.apk"},
        agent=AgentConfig(clock="asynchronous", actors=5),
        report=ReportConfig(paper="table2", bounds=CATCH_BOUNDS, num_bins=200),
    )


def androidenv_quick() -> Suite:
    """AndroidEnv's whole stack on simulated phones, five asynchronous actors: minutes.

    Agent and images are those of catch-quick. The phones' clock is virtual.
    """
    quick = catch_quick()
    return Suite(
        name="androidenv-quick",
        transfers=_on_androidenv("large_ball"),
        conditions=("random", "update_all", "freeze_embedding", "freeze_all"),
        seeds=1,
        pretrain_steps=60_000,
        transfer_steps=20_000,
        environment=dict(quick.environment) | {"num_envs": 10, "device": "simulated"},
        agent=msgspec.structs.replace(quick.agent, clock="asynchronous", actors=5),
        evaluation=EvaluationConfig(episodes=50),
        report=quick.report,
    )


def atari_paper() -> Suite:
    """The paper's nine Atari transfers: table 1 and figure 3 (Dean, Toyama, Precup 2022).

    The targets are the columns of table 1, read correctly (docs/reproducing.md, point 1). The
    paper's 50M are taken as decisions of the agent (point 2).
    """
    from thaw.report.paper import TABLE_1  # here, because importing the report takes a second

    return Suite(
        name="atari-paper",
        transfers=_from_default_modes(TABLE_1.targets),
        seeds=5,
        pretrain_steps=50_000_000,
        transfer_steps=50_000_000,
        environment={"num_envs": 32},
        report=ReportConfig(normalize="scratch", paper="table1", num_bins=200),
    )


def atari_paper_frames() -> Suite:
    """The same, with the paper's 50M taken as emulator frames, four for each decision."""
    return msgspec.structs.replace(
        atari_paper(),
        name="atari-paper-frames",
        pretrain_steps=12_500_000,
        transfer_steps=12_500_000,
    )


def atari_quick() -> Suite:
    """Two of the nine transfers, small images, the shallow network: half an hour at most.

    The numbers are not the paper's: images are 42x42, the agent has only the joystick actions that
    the game uses, the LSTM is narrow, there are a hundredth of the decisions, and the optimizer is
    tuned for few updates.
    """
    return Suite(
        name="atari-quick",
        transfers=_from_default_modes(("breakout@m12d0", "space_invaders@m1d1")),
        seeds=2,
        pretrain_steps=400_000,
        transfer_steps=120_000,
        environment={
            "num_envs": 16,
            "image_size": 42,
            "full_action_space": False,
            "num_threads": 1,
        },
        agent=AgentConfig(
            embedding="impala_shallow",
            lstm_size=128,
            fc_size=128,
            learning_rate=2e-3,
            learning_rate_schedule="linear",
            rmsprop_decay=0.9,
            rmsprop_epsilon=1e-5,
            entropy_cost=0.002,
        ),
        evaluation=EvaluationConfig(episodes=50),
        report=ReportConfig(normalize="scratch", num_bins=40),
    )


def minigrid_quick() -> Suite:
    """From an empty room to a larger one, and to one with lava: minutes on a laptop.

    The policy sees the tiles in front of the agent as one-hot vectors, through a small MLP.
    """
    return Suite(
        name="minigrid-quick",
        transfers=tuple(
            Transfer(
                source=Flavor("minigrid/MiniGrid-Empty-Random-5x5-v0"),
                target=Flavor(f"minigrid/{target}"),
            )
            for target in ("MiniGrid-Empty-Random-6x6-v0", "MiniGrid-LavaGapS5-v0")
        ),
        seeds=2,
        pretrain_steps=40_000,
        transfer_steps=25_000,
        environment={"num_envs": 4, "num_threads": 1},
        agent=AgentConfig(
            embedding="mlp",
            embedding_size=64,
            lstm_size=64,
            fc_size=64,
            unroll_length=16,
            discount=0.95,
            learning_rate=2e-3,
            rmsprop_decay=0.9,
            rmsprop_epsilon=1e-5,
        ),
        evaluation=EvaluationConfig(episodes=50),
        report=ReportConfig(num_bins=40),
    )


def procgen_quick() -> Suite:
    """From ten levels of a game to ten new ones: what generalizes, and what to retrain?

    Easy levels and the shallow network: minutes on a laptop, and far from Procgen's own protocol
    (200 easy or 500 hard levels, 25M or 200M steps; Cobbe et al. 2020). CoinRun is the one of five
    games tried that is learned in such budgets (docs/reproducing.md, point 17).
    """
    return Suite(
        name="procgen-quick",
        transfers=(
            Transfer(
                source=Flavor("procgen/coinrun@levels0-9"),
                target=Flavor("procgen/coinrun@levels1000-1009"),
            ),
        ),
        seeds=2,
        pretrain_steps=250_000,
        transfer_steps=75_000,
        environment={"num_envs": 16, "num_threads": 1, "difficulty": "easy"},
        agent=AgentConfig(
            embedding="impala_shallow",
            lstm_size=128,
            fc_size=128,
            unroll_length=32,
            entropy_cost=0.003,
            optimizer="adam",
            learning_rate=1e-3,
        ),
        evaluation=EvaluationConfig(episodes=50),
        report=ReportConfig(num_bins=40),
    )


def _from_default_modes(targets: Iterable[str]) -> tuple[Transfer, ...]:
    """Pair each Atari target with its game's default mode and difficulty."""
    return tuple(
        Transfer(
            source=Flavor(f"atari/{target.partition('@')[0]}"), target=Flavor(f"atari/{target}")
        )
        for target in targets
    )


def _on_androidenv(*variants: str) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(source=Flavor("androidenv/catch"), target=Flavor(f"androidenv/catch@{variant}"))
        for variant in variants
    )


def _from_catch(*variants: str) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(source=Flavor("catch"), target=Flavor(f"catch@{variant}")) for variant in variants
    )


BUILT_IN: Mapping[str, Callable[[], Suite]] = {
    "catch-quick": catch_quick,
    "catch-rules": catch_rules,
    "catch-paper": catch_paper,
    "androidenv-quick": androidenv_quick,
    "androidenv-catch-paper": androidenv_catch_paper,
    "atari-quick": atari_quick,
    "atari-paper": atari_paper,
    "atari-paper-frames": atari_paper_frames,
    "minigrid-quick": minigrid_quick,
    "procgen-quick": procgen_quick,
}
