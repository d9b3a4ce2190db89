"""Writes the stored runs and what the report makes of them: python tests/support/make_golden.py.

Run it after a change that moves numbers on purpose, and read the difference before keeping it.
The runs are made up (a seeded generator, no training), but have the shape of real ones: seeds
that share their pretraining, missing runs, bins without episodes, a game that no condition learns.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from thaw.report.scores import read_curves, read_scores
from thaw.report.spec import ReportSpec
from thaw.report.write import write_report

GOLDEN = Path(__file__).parent.parent / "report" / "golden"
KEPT = ("metrics.csv", "table.csv", "table.tex", "table_source.csv")

CATCH = ReportSpec(
    name="catch-sample",
    transfers=tuple(
        ("catch", f"catch@{variant}")
        for variant in ("large_ball", "small_ball", "small_paddle", "red_background")
    ),
    conditions=(
        *("random", "scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all"),
    ),
    seeds=(0, 1, 2, 3, 4),
    paper="table2",
)
ATARI = ReportSpec(
    name="atari_sample",
    transfers=(
        ("atari/hero", "atari/hero@m1d0"),
        ("atari/freeway", "atari/freeway@m4d0"),
        ("atari/breakout", "atari/breakout@m12d0"),
    ),
    conditions=("random", "scratch", "update_all", "freeze_embedding", "freeze_head"),
    seeds=(0, 1, 2),
    normalize="scratch",
    paper="table1",
)
_CATCH_LEVELS = {
    "random": (-0.26, -0.47, -0.64, -0.44),
    "scratch": (0.20, 0.55, 0.30, 0.35),
    "update_all": (0.36, 0.78, 0.62, 0.69),
    "freeze_embedding": (0.33, 0.74, 0.68, 0.41),
    "freeze_head": (0.58, 0.80, 0.42, 0.45),
    "freeze_all": (-0.42, 0.08, 0.42, 0.10),
}
_ATARI_LEVELS = {
    "random": (60.0, 0.0, 1.4),
    "scratch": (2950.0, 0.0, 53.0),
    "update_all": (12400.0, 0.0, 231.0),
    "freeze_embedding": (9010.0, 0.0, 156.0),
    "freeze_head": (4880.0, 0.0, 149.0),
}
_NUM_BINS, _STEPS = 25, 200_000


def make_catch() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and curves of four Catch transfers; three runs are missing."""
    rng = np.random.default_rng(2022)
    pretrained = rng.normal(0.0, 0.08, size=len(CATCH.seeds))
    scores, curves = [], []
    for seed in CATCH.seeds:
        scores.append(_score("", "catch", "pretrain", seed, 0.86 + pretrained[seed] / 2, rng))
    for place, (source, target) in enumerate(CATCH.transfers):
        for condition in CATCH.conditions:
            start = "" if condition in ("random", "scratch") else source
            for seed in CATCH.seeds:
                if target.endswith("red_background") and condition == "freeze_head" and seed > 2:
                    continue
                if target.endswith("small_paddle") and condition == "freeze_all" and seed == 4:
                    continue
                level = _CATCH_LEVELS[condition][place] + rng.normal(0.0, 0.05)
                if start:
                    level += pretrained[seed]
                back = level + 0.1 if start else None
                if condition == "freeze_all":  # is the pretrained policy itself
                    back = 0.86 + pretrained[seed] / 2
                scores.append(_score(start, target, condition, seed, level, rng, back))
                if condition not in ("random", "freeze_all"):
                    first = -0.4 if condition == "scratch" else _CATCH_LEVELS["freeze_all"][place]
                    curves += _curve(start, target, condition, seed, first, level, rng)
    return pd.DataFrame(scores), pd.DataFrame(curves)


def make_atari() -> pd.DataFrame:
    """Return scores of three Atari transfers; every return on Freeway is 0."""
    rng = np.random.default_rng(12)
    scores = []
    for place, (source, target) in enumerate(ATARI.transfers):
        for condition in ATARI.conditions:
            start = "" if condition in ("random", "scratch") else source
            for seed in ATARI.seeds:
                level = _ATARI_LEVELS[condition][place] * (1 + rng.normal(0.0, 0.12))
                scores.append(_score(start, target, condition, seed, level, rng))
    return pd.DataFrame(scores).drop(columns=["source_mean_return", "source_sem"])


def build(name: str, spec: ReportSpec, folder: Path) -> Path:
    """Write the report of the stored runs into folder, and return its page."""
    stored = GOLDEN / name
    curves = stored / "curves.csv"
    return write_report(
        read_scores(stored / "scores.csv"),
        read_curves(curves) if curves.exists() else None,
        spec,
        folder,
    )


def _score(
    source: str,
    target: str,
    condition: str,
    seed: int,
    level: float,
    rng: np.random.Generator,
    back: float | None = None,
) -> dict[str, object]:
    family = "atari" if target.startswith("atari") else "catch"
    steps = 0 if condition in ("random", "freeze_all") else _STEPS
    unit = 0.02 if family == "catch" else max(abs(level), 1.0) * 0.05
    return {
        "key": f"{target}/{condition}/seed{seed}",
        "family": family,
        "name": target.rpartition("/")[2].partition("@")[0],
        "source": source,
        "target": target,
        "condition": condition,
        "seed": seed,
        "mean_return": round(min(level, 1.0) if family == "catch" else level, 4),
        "sem": round(unit * (1 + rng.random()), 4),
        "num_episodes": 100,
        "source_mean_return": None if back is None else round(min(back, 1.0), 4),
        "source_sem": None if back is None else round(unit, 4),
        "steps": steps,
        "frames": 4 * steps,
        "seconds": round(steps / 900 * (1 + 0.1 * rng.random()), 1),
    }


def _curve(
    source: str,
    target: str,
    condition: str,
    seed: int,
    first: float,
    last: float,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    speed = rng.uniform(4, 8)
    for place in range(1, _NUM_BINS + 1):
        if rng.random() < 0.03:  # a bin in which no episode ended
            continue
        done = 1 - np.exp(-speed * place / _NUM_BINS)
        steps = _STEPS * place // _NUM_BINS
        rows.append(
            {
                "family": "catch",
                "name": "catch",
                "source": source,
                "target": target,
                "condition": condition,
                "seed": seed,
                "steps": steps,
                "frames": 4 * steps,
                "mean_return": round(first + (last - first) * done + rng.normal(0, 0.03), 4),
                "num_episodes": int(rng.integers(150, 220)),
            }
        )
    return rows


def main() -> None:
    """Write all files under golden/ again."""
    scores, curves = make_catch()
    for name in ("catch", "atari"):
        (GOLDEN / name).mkdir(parents=True, exist_ok=True)
    scores.to_csv(GOLDEN / "catch" / "scores.csv", index=False)
    curves.to_csv(GOLDEN / "catch" / "curves.csv", index=False)
    make_atari().to_csv(GOLDEN / "atari" / "scores.csv", index=False)
    for name, spec in (("catch", CATCH), ("atari", ATARI)):
        with tempfile.TemporaryDirectory() as folder:
            build(name, spec, Path(folder))
            for kept in KEPT:
                shutil.copy(Path(folder) / kept, GOLDEN / name / kept)


if __name__ == "__main__":
    main()
