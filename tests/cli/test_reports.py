"""``thaw report`` in the terminal, and scores from elsewhere on the command line."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import warnings
from pathlib import Path

import pytest
from command_line import Say
from refusals import check_refused_and_unwritten

from thaw.experiment.reporting import read_suite
from thaw.experiment.suite_folder import SuiteFolder

HEADER = "target,condition,seed,mean_return\n"
FOREIGN = HEADER + "".join(
    f"{task},{condition},{seed},{(level + seed * 0.1) * unit}\n"
    for task, unit in (("ALE/Pong-v5", 1), ("dmc/walker-run", 10))
    for condition, level in (("PPO scratch", 5.0), ("ppo_finetune", 7.0))
    for seed in range(5)
)
CURVES = "target,condition,seed,steps,mean_return\n" + "".join(
    f"ALE/Pong-v5,{condition},{seed},{steps},{level + seed * 0.1 - 1000 / steps}\n"
    for condition, level in (("PPO scratch", 5.0), ("ppo_finetune", 7.0))
    for seed in range(5)
    for steps in (1000, 2000, 3000)
)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "sb3.csv"
    path.write_text(FOREIGN)
    (tmp_path / "curves.csv").write_text(CURVES)
    return path


def test_a_report_ends_with_verdicts_table_and_page(
    say: Say, finished: Path, tmp_path: Path
) -> None:
    spoken = say("report", finished, "--out", "deep/report")
    assert (spoken.status, spoken.err) == (0, "")
    card = json.loads((tmp_path / "deep/report/card.json").read_text())
    verdict = card["verdicts"][0]["sentence"]
    table = (tmp_path / "deep/report/table.md").read_text()
    assert spoken.out.splitlines()[0] == verdict
    main, others = table.split("\n### ", 1)
    assert "Mean return back on the source" in others  # on the page and in table.md
    assert spoken.out.endswith(f"\n\n{main}\nreport: deep/report/index.html\n")
    lines = spoken.out.partition("\n\n")[0].splitlines()
    assert 1 <= len(lines) <= 3
    assert table == (finished / "report/table.md").read_text()


def test_a_run_ends_like_its_report(say: Say, finished: Path, tmp_path: Path) -> None:
    """The command that the report names adds seeds; with the same number it adds nothing."""
    folder = tmp_path / "of {mine}"
    shutil.copytree(finished, folder)
    spec = read_suite(SuiteFolder(folder)).spec
    words = shlex.split(spec.more_seeds.format(seeds=1))
    assert words[0] == "thaw"
    done = say(*words[1:])
    assert (done.status, done.out) == (0, say("report", folder).out)
    assert done.out.splitlines()[-1] == f"report: {folder}/report/index.html"
    more = say("plan", words[2], *shlex.split(spec.more_seeds.format(seeds=3))[-2:])
    assert "tiny: 24 runs, 3 of them pretrainings" in more.out


def test_seeds_of_a_list_are_not_advised_to_be_dropped(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    suite = tmp_path / "copy/suite.yaml"
    for seeds, has_command in (("[0, 1]", True), ("[0, 7]", False)):
        suite.write_text(re.sub(r"^seeds:.*$", f"seeds: {seeds}", suite.read_text(), flags=re.M))
        spec = read_suite(SuiteFolder(tmp_path / "copy")).spec
        assert bool(spec.more_seeds) == has_command


def test_many_transfers_are_cut_in_the_terminal(say: Say, tmp_path: Path) -> None:
    rows = [f"t{t:02},{c},0,{t}\n" for t in range(15) for c in ("scratch", "update_all")]
    (tmp_path / "many.csv").write_text(HEADER + "".join(rows))
    head = say("report", "--scores", "many.csv", "--out", "out").out.partition("\n\n")[0]
    assert head.count("On t") == 12
    assert head.splitlines()[-1] == "and 3 more on the page"


def test_foreign_scores_with_all_options(say: Say, foreign: Path, tmp_path: Path) -> None:
    spoken = say(
        "report", "--scores", foreign, "--curves", "curves.csv", "--baseline", "PPO scratch",
        "--normalize", "--margin", "0.5", "--bounds", "-100", "100", "--out", "out",
    )  # fmt: skip
    assert (spoken.status, spoken.err) == (0, "")
    assert "On ALE/Pong-v5: ppo_finetune won" in spoken.out
    assert "5 seeds, unpaired" in spoken.out
    assert "| ppo_finetune | **1.385" in spoken.out
    assert "not measured" not in spoken.out
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert (card["baseline"], card["metric"]) == ("PPO scratch", "normalized_by_scratch")
    assert card["bounds"] == [-100.0, 100.0]
    assert {verdict["margin"] for verdict in card["verdicts"]} == {0.5}
    assert [transfer["name"] for transfer in card["transfers"]] == ["ALE/Pong-v5", "dmc/walker-run"]
    assert (tmp_path / "out/figures/learning_curves.svg").is_file()


def test_letters_of_every_script_make_no_warning(say: Say, tmp_path: Path) -> None:
    text = FOREIGN.replace("ALE/Pong-v5", "\u65b9\u5757").replace("ppo_finetune", "\u5fae\u8c03")
    (tmp_path / "names.csv").write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spoken = say("report", "--scores", "names.csv", "--out", "out")
    assert (spoken.status, spoken.err) == (0, "")
    assert "On \u65b9\u5757: \u5fae\u8c03 won" in spoken.out


FILES = {
    "long.csv": HEADER + "A,x,0,1,5,6\nA,x,1,2,5,6\n",
    "twice.csv": "target,condition,seed,mean_return,mean_return\nA,x,0,1,2\n",
    "huge.csv": HEADER + "A,x,0,1e308\n",
    "capitals.csv": "Target,condition,seed,mean_return\nA,x,0,1\n",
    "semicolons.csv": "target;condition;seed;mean_return\nA;x;0;1\n",
    "seeds.csv": HEADER + "A,x,-1,1\n",
    "sb3.csv": FOREIGN,
    "other.csv": CURVES.replace("ALE/Pong-v5", "Pong"),
    "low.csv": CURVES.replace(",2000,4.5\n", ",2000,-0.5\n", 1),
}
WRONG: list[tuple[str, list[str]]] = [
    ("--scores long.csv --out x", ["long.csv: row 1 has 6 values, but there are 4 columns"]),
    ("--scores twice.csv --out x", ["two columns are named 'mean_return'; remove one"]),
    ("--scores huge.csv --out x", ["row 1: mean_return is '1e308', but must be a number from"]),
    ("--scores capitals.csv --out x", ["'target' is missing", "Write 'Target' in small letters"]),
    ("--scores semicolons.csv --out x", ["Separate the values by commas, not by ';'"]),
    ("--scores seeds.csv --out x", ["row 1: seed is '-1', but must be a whole number"]),
    ("--scores sb3.csv --baseline PPO --out x", ["no condition 'PPO'", "Choose one of PPO scr"]),
    ("--scores sb3.csv --normalize --out x", ["no condition 'scratch'", "as the baseline"]),
    ("--scores sb3.csv --margin -1 --out x", ["margin is -1; it must be a number of at least 0"]),
    ("--scores sb3.csv --margin nan --out x", ["margin is nan"]),
    ("--scores sb3.csv --bounds 1 1 --out x", ["bounds are 1 and 1; give the lowest possible"]),
    ("--scores sb3.csv --bounds 0 inf --out x", ["bounds are 0 and inf"]),
    ("--scores sb3.csv --bounds 7 90 --out x", [
        "sb3.csv: row 1: mean_return 5 is outside the bounds 7 to 90", "correct --bounds",
    ]),
    ("--scores sb3.csv --bounds 0 70 --out x", ["row 17: mean_return 71 is outside the bounds"]),
    ("--scores sb3.csv --curves low.csv --bounds 0 100 --out x", [
        "low.csv: row 2: mean_return -0.5 is outside the bounds 0 to 100",
    ]),
    ("--scores sb3.csv --curves none.csv --out x", ["none.csv: no such file"]),
    ("--scores sb3.csv --curves sb3.csv --out x", ["column 'steps' is missing"]),
    ("--scores sb3.csv --curves other.csv --out x", ["other.csv: row 1 belongs to a run that h"]),
    ("FINISHED --curves other.csv", ["--curves is for --scores FILE.csv", "its own curves"]),
    ("FINISHED --baseline scratch", ["--baseline is for --scores", "the baseline is scratch"]),
    ("FINISHED --normalize", ["set report.normalize in its suite.yaml"]),
    ("FINISHED --paired", ["--paired is for --scores"]),
    ("FINISHED --margin 0", ["set report.margin in its suite.yaml"]),
    ("FINISHED --bounds 0 1", ["set report.bounds in its suite.yaml"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    for name, text in FILES.items():
        (littered / name).write_text(text)
    check_refused_and_unwritten(f"report {line}", said, say, littered, finished)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("report.bounds=[1,-1]", "bounds are 1 and -1; give the lowest possible return first"),
        ("report.bounds=[1]", "report.bounds: expected a list of length 2"),
        ("report.margin=-0.1", "margin is -0.1; it must be a number of at least 0"),
    ],
)
def test_a_suite_with_wrong_bounds_or_margin_is_refused(
    value: str, words: str, say: Say, tiny: Path
) -> None:
    spoken = say("plan", tiny, "--set", value)
    assert (spoken.status, spoken.out) == (2, "")
    assert words in spoken.err


def test_a_suite_whose_returns_are_outside_its_bounds_has_no_report(
    say: Say, finished: Path, tmp_path: Path
) -> None:
    suite = Path(shutil.copytree(finished, tmp_path / "copy")) / "suite.yaml"
    text = suite.read_text()
    suite.write_text(text.replace("bounds: null", "bounds: [2.0, 3.0]"))
    assert suite.read_text() != text
    before = (tmp_path / "copy/report/table.md").read_bytes()
    spoken = say("report", "copy")
    assert (spoken.status, spoken.out) == (2, "")
    assert spoken.err.startswith("thaw: scores: row 1: mean_return ")
    assert "is outside the bounds 2 to 3; " in spoken.err
    assert "report.bounds of its suite.yaml" in spoken.err
    assert (tmp_path / "copy/report/table.md").read_bytes() == before
