from __future__ import annotations

from typing import Any

import pytest

from thaw.experiment.built_in import atari_paper, catch_paper
from thaw.report.paper import TABLE_1, TABLE_2
from thaw.report.spec import ReportSpec, condition_name, flavor_name, transfer_names


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("catch", "Catch"),
        ("catch@large_ball", "Catch, large ball"),
        ("catch?ball_radius=20", "Catch (ball_radius=20)"),
        ("androidenv/catch@red_background", "AndroidEnv Catch, red background"),
        ("atari/space_invaders@m1d1", "Space Invaders m1d1"),
        ("procgen/coinrun@hard", "Coinrun, hard"),
        ("gym/MiniGrid-Empty-8x8-v0", "MiniGrid-Empty-8x8-v0"),
        ("gym/ALE/Pong-v5", "ALE/Pong-v5"),
        ("gym/my_package:my_env-v0", "my_package:my_env-v0"),
        ("envpool/Jumanji/Snake-v1", "Jumanji/Snake-v1"),
        # of other programs
        ("ALE/Pong-v5", "ALE/Pong-v5"),
        ("dmc/walker-run", "dmc/walker-run"),
        ("walker_run@hard?seed=1", "walker_run@hard?seed=1"),
        ("catch/mine", "catch/mine"),
        ("atari", "atari"),
    ],
)
def test_flavors_have_human_names(address: str, name: str) -> None:
    assert flavor_name(address) == name


def test_conditions_have_human_names() -> None:
    assert condition_name("freeze_embedding") == "Freeze embedding"
    assert condition_name("thaw_LSTM_only") == "thaw_LSTM_only"  # the user's own name


def test_names_of_transfers_never_coincide() -> None:
    assert transfer_names([("a", "t"), ("a", "u")]) == {("a", "t"): "t", ("a", "u"): "u"}
    two_sources = transfer_names([("a", "t"), ("b", "t")])
    assert set(two_sources.values()) == {"t, from a", "t, from b"}
    unknown_source = transfer_names([("", "t"), ("b", "t")])
    assert set(unknown_source.values()) == {"t", "t, from b"}
    alike = transfer_names([("gym/a", "t"), ("envpool/a", "t")])
    assert set(alike.values()) == {"gym/a -> t", "envpool/a -> t"}
    no_source = transfer_names([("", "gym/a"), ("", "envpool/a")])
    assert set(no_source.values()) == {"gym/a", "envpool/a"}


@pytest.mark.parametrize(
    ("target", "one_game"),
    [
        ("catch@large_ball", True),
        ("catch?downsample=8", True),
        ("catch?title=a@b", True),
        ("catch2", False),
        ("androidenv/catch", False),
    ],
)
def test_one_game_is_one_environment_in_any_variant_and_with_any_options(
    target: str, one_game: bool
) -> None:
    spec = ReportSpec("n", (("catch", "catch"), ("catch", target)), ("scratch",), (0,))
    assert spec.is_one_game == one_game


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transfers": ()}, "needs transfers"),
        ({"seeds": ()}, "needs seeds"),
        ({"conditions": ("scratch", "scratch")}, "conditions must differ"),
        ({"conditions": ("pretrain",)}, "leave it out"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"bounds": (1.0, 1.0)}, "bounds are 1 and 1"),
    ],
)
def test_a_plan_without_sense_is_refused(change: dict[str, Any], words: str) -> None:
    fields: dict[str, Any] = {
        "name": "n",
        "transfers": (("a", "b"),),
        "conditions": ("scratch",),
        "seeds": (0,),
    }
    with pytest.raises(ValueError, match=words):
        ReportSpec(**(fields | change))


def test_the_paper_suites_have_the_columns_of_the_paper_tables() -> None:
    for suite, table, family in ((atari_paper(), TABLE_1, "atari/"), (catch_paper(), TABLE_2, "")):
        targets = [transfer.target for transfer in suite.transfers]
        assert targets == [family + target for target in table.targets]
