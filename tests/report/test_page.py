from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from make_golden import CATCH, build

from thaw.config.racing import RacingConfig
from thaw.report.answers import Answer, Gate
from thaw.report.background import Background, Provenance
from thaw.report.figures import LOOKS, looks
from thaw.report.page.boxes import tag, verdict_boxes
from thaw.report.page.live import FOLDER, LIBRARY
from thaw.report.page.parts import glossary
from thaw.report.page.runs import MOST_LISTED
from thaw.report.panels import MOST_SEED_LINES
from thaw.report.scores import infer_spec
from thaw.report.spec import ReportSpec
from thaw.report.verdict import Verdict
from thaw.report.words import duration
from thaw.report.write import write_report

MakeScores = Callable[..., pd.DataFrame]
EVIL = '<script>alert("x")</script>& $\\nonsense$ </title><!-- <img src=x onerror=alert(1)>'
VOID = {"meta", "br", "img", "link", "input", "hr"}
SCRIPTS = {"curves", "library", "own"}
PICTURE = b"\x89PNG\r\n\x1a\n0123"


class Structure(HTMLParser):
    """Collects tags, identifiers and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def read(page: Path) -> Structure:
    structure = Structure()
    structure.feed(page.read_text(encoding="utf-8"))
    assert structure.open == []
    return structure


@pytest.fixture
def curves() -> pd.DataFrame:
    rows = [
        ("catch", "catch@large_ball", "update_all", seed, steps, 0.1 * seed)
        for seed in (0, 1)
        for steps in (10, 20)
    ]
    columns = ["source", "target", "condition", "seed", "steps", "mean_return"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def catch(tmp_path_factory: pytest.TempPathFactory) -> Structure:
    return read(build("catch", CATCH, tmp_path_factory.mktemp("catch")))


def make_verdict(**changes: Any) -> Verdict:
    nan = float("nan")
    plain = Verdict(
        "catch", "catch@a", False, "update_all", "scratch", 0.1, 0.0, 0.2, 5, True, nan,
        sentence="Nothing.", reading="",
    )  # fmt: skip
    return replace(plain, **changes)


def test_the_page_stands_alone(
    make_scores: MakeScores, curves: pd.DataFrame, tmp_path: Path
) -> None:
    spec = ReportSpec("n", (("catch", "catch@large_ball"),), ("update_all", "scratch"), (0, 1))
    scores = make_scores({"update_all": [0.5, 0.6], "scratch": [0.1, 0.2]})
    page = read(write_report(scores, curves, spec, tmp_path))
    assert {"link", "img", "iframe"} & set(page.tags) == set()
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        inside = link.startswith("#") and link[1:] in page.ids
        assert inside or (tmp_path / link).is_file(), link
    text = (tmp_path / "index.html").read_text(encoding="utf-8").split("<script")[0]
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_the_policy_allows_the_pages_own_scripts_and_no_network(catch: Structure) -> None:
    data, *scripts = catch.scripts
    assert len(scripts) == 2
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    ]
    assert catch.policy.split("; ") == [
        "default-src 'none'",
        f"script-src {' '.join(hashes)}",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "media-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert len(json.loads(data)["panels"]) == len(CATCH.transfers)


def test_the_library_is_as_it_was_published() -> None:
    wanted, name = (FOLDER / "plotly-basic.sha256").read_text().split()
    assert name == LIBRARY.name
    assert hashlib.sha256(LIBRARY.read_bytes()).hexdigest() == wanted
    assert "MIT License" in (FOLDER / "plotly-basic-LICENSE.txt").read_text()


@pytest.mark.parametrize("script", [LIBRARY, FOLDER / "page.js"], ids=lambda path: path.name)
def test_no_script_can_end_its_element(script: Path) -> None:
    text = script.read_text(encoding="utf-8").lower()
    assert "</script" not in text
    assert "<!--" not in text
    assert "\r" not in text  # a browser would change it, and with it the hash


def test_a_page_without_curves_has_no_library(make_scores: MakeScores, tmp_path: Path) -> None:
    scores = make_scores({"update_all": [0.5]})
    index = write_report(scores, None, infer_spec(scores), tmp_path)
    assert len(read(index).scripts) == 1
    assert index.stat().st_size < 100_000


def test_a_page_of_pictures_has_no_library_and_differs_in_nothing_else(
    make_scores: MakeScores, curves: pd.DataFrame, tmp_path: Path
) -> None:
    spec = ReportSpec("n", (("catch", "catch@large_ball"),), ("update_all", "scratch"), (0, 1))
    scores = make_scores({"update_all": [0.5, 0.6], "scratch": [0.1, 0.2]})
    live = write_report(scores, curves, spec, tmp_path / "live")
    static = write_report(scores, curves, spec, tmp_path / "static", interactive=False)
    assert len(read(static).scripts) == 1
    assert static.stat().st_size < 100_000

    def rest(page: Path) -> str:
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        return (
            re.sub(r"sha256-[^']*", "", text).replace("\n", "").replace("''", "").replace(" ", "")
        )

    assert rest(static) == rest(live)
    assert "<svg" in rest(static)
    files = {path.relative_to(tmp_path / "live") for path in (tmp_path / "live").rglob("*.*")}
    for file in files - {Path("index.html")}:
        if file.suffix in (".csv", ".json", ".md", ".tex"):
            assert (tmp_path / "live" / file).read_bytes() == (
                tmp_path / "static" / file
            ).read_bytes()


def test_everything_is_escaped(make_scores: MakeScores, tmp_path: Path) -> None:
    spec = ReportSpec(EVIL, ((EVIL, "t" + EVIL),), ("scratch", EVIL), (0, 1, 2))
    scores = make_scores({EVIL: [0.5, 0.6, 0.8]}, source=EVIL, target="t" + EVIL)
    curves = scores[["source", "target", "condition", "seed", "mean_return"]].assign(steps=10)
    scores["key"] = EVIL
    background = Background(
        Provenance(*[EVIL] * 10), EVIL, EVIL, {}, (EVIL,), {EVIL: EVIL}, {EVIL: EVIL}
    )
    page = read(write_report(scores, curves, spec, tmp_path, background))
    assert page.tags.count("script") == 3
    assert page.tags.count("img") == 0
    assert "<" not in page.scripts[0]
    assert EVIL in page.text
    names = [condition["name"] for condition in json.loads(page.scripts[0])["conditions"]]
    assert names == ["From scratch", EVIL]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"decided": True}, ("decided", "DECIDED")),
        ({}, ("open", "NOT DECIDED")),
        ({"equal": True}, ("equal", "EQUAL")),
        ({"gates": (Gate("ceiling", "High."),)}, ("blocked", "NO VERDICT")),
        ({"gates": (Gate("ceiling", "High.", blocks=False),)}, ("open", "NOT DECIDED")),
    ],
)
def test_each_outcome_has_its_tag(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert tag(make_verdict(**changes)) == expected


def test_gates_speak_before_the_verdict_and_numbers_are_in_a_fold() -> None:
    answer = Answer(
        "which_part", "Which part?", "yes", "The head.", "Head 1, embedding 0.", "freeze_head",
        "freeze_embedding", 1.0, 0.5, 1.5, 5, True,
    )  # fmt: skip
    verdict = make_verdict(
        sentence="It won.", gates=(Gate("ceiling", "It is high.", blocks=False),),
        answers=(answer,), next_step="Add seeds.", reading="Hypothesis: none.",
    )  # fmt: skip
    (box,) = verdict_boxes([verdict], Background())
    order = ["It is high.", "It won.", "Add seeds.", "Which part?", "The head.", "<details>"]
    order += ["Head 1, embedding 0.", "</details>", "Hypothesis"]
    assert sorted(order, key=box.index) == order


def test_a_blocked_verdict_says_its_gate_once_and_gives_no_answers() -> None:
    answer = Answer(
        "which_part", "Which part?", "gated", "No answer.", "", "a", "b", 1.0, 0.5, 1.5, 5, True
    )
    gates = (Gate("few_seeds", "Too few."), Gate("ceiling", "High."))
    verdict = make_verdict(sentence="No verdict. Too few.", gates=gates, answers=(answer,))
    (box,) = verdict_boxes([verdict], Background())
    assert box.count("Too few.") == 1
    assert box.index("Too few.") < box.index("High.")
    assert "Which part?" not in box


def test_several_verdicts_say_how_many_may_be_false() -> None:
    lines = verdict_boxes([make_verdict(), make_verdict(target="catch@b")] * 5, Background())
    assert len(lines) == 11
    assert "Of 10 verdicts, expect up to 0.5 to be false" in lines[0]


def test_pictures_are_shown_where_both_are_there() -> None:
    verdict, other = make_verdict(), make_verdict(target="catch@b")
    pictures = {"catch": PICTURE, "catch@a": PICTURE}
    _, first, second = verdict_boxes([verdict, other], Background(pictures=pictures))
    assert first.count('<img src="data:image/png;base64,') == 2
    assert "<img" not in second


def test_pictures_do_not_fill_the_page() -> None:
    big = PICTURE + bytes(70_000)
    verdicts = [make_verdict(target=f"t{number}") for number in range(10)]
    pictures = {"catch": big} | {verdict.target: big for verdict in verdicts}
    boxes = verdict_boxes(verdicts, Background(pictures=pictures))
    assert sum("<img" in box for box in boxes) == 4  # two times 70 kB each, of 600 kB


def test_verdicts_come_first_and_missing_runs_are_listed(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    transfers = (("catch", "catch@a"), ("other", "catch@a"))
    spec = ReportSpec("n", transfers, ("scratch", "update_all"), (0, 1))
    scores = make_scores({"pretrain": [1, 1], "update_all": [0.5, None]}, target="catch@a")
    text = read(write_report(scores, None, spec, tmp_path)).text
    assert text.index("NO VERDICT") < text.index("Mean return on the target")
    # Two scratch runs, missing once for both transfers, one update_all of the first, two of the
    # second.
    assert "5 planned runs are missing" in text
    assert "Catch, a, from Catch (3 missing)" in text
    assert "Catch, a, from other (2 missing)" in text
    assert "Pretrainings, and runs outside of the plan" in text


def test_the_list_of_runs_and_the_table_count_the_same_runs(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    spec = ReportSpec("n", (("a", "t"), ("b", "t")), ("update_all",), (0, 1))
    own = make_scores({"update_all": [0.5, None]}, source="a", target="t")
    without_source = make_scores({"update_all": [0.1, 0.2]}, source="", target="t")
    scores = pd.concat([own, without_source])
    text = read(write_report(scores, None, spec, tmp_path)).text
    table = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert "(1 of 2 seeds)" in table  # of the transfer from a, whose own run of seed 1 is missing
    assert "1 planned run is missing" in text
    assert "t, from a (1 missing)" in text


def test_runs_show_no_empty_column_and_times_as_people_write_them(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    scores = make_scores({"update_all": [0.5, 0.6]}).assign(seconds=[19.2, 3671.0])
    write_report(scores, None, infer_spec(scores), tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    runs = text[text.index('<h2 id="runs">') : text.index('<h2 id="health">')]
    assert re.findall(r"<th scope=\"col\"[^>]*>([^<]*)</th>", runs) == [
        "condition", "seed", "return", "time",
    ]  # fmt: skip
    assert '<td data-value="19.2">19 s</td>' in runs
    assert '<td data-value="3671">1 h 1 min</td>' in runs


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.31, "0.31 s"), (59.4, "59 s"), (60, "1 min"), (191, "3 min 11 s"),
        (3_600, "1 h"), (7_500, "2 h 5 min"), (86_400, "24 h"), (356_400, "4 days 3 h"),
    ],
)  # fmt: skip
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_runs_link_to_their_folders_where_the_page_lies_in_the_suites(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    key = "catch@large_ball,size=2/update all?/seed0"
    scores = make_scores({"update_all": [0.5]}).assign(key=[key])
    (tmp_path / "runs" / key).mkdir(parents=True)
    for name in ("scores.csv", "suite.yaml", "film.mp4"):
        (tmp_path / name).touch()
    provenance = Provenance(suite_file="../suite.yaml", commit="abc", command="thaw run it")
    background = Background(provenance, root="..", runs="../runs", films=("film.mp4",))
    spec = infer_spec(scores)
    page = read(write_report(scores, None, spec, tmp_path / "report", background))
    wanted = {
        "../runs/catch%40large_ball%2Csize%3D2/update%20all%3F/seed0/",
        "../suite.yaml",
        "../scores.csv",
        "../film.mp4",
        "metrics.csv",
        "table.tex",
        "table.md",
    }
    assert wanted <= set(page.links)
    assert "thaw run it" in page.text
    assert "abc" in page.text
    elsewhere = read(write_report(scores, None, spec, tmp_path / "report", Background()))
    assert not [link for link in elsewhere.links if link.startswith("..")]


def test_very_many_runs_are_not_listed(make_scores: MakeScores, tmp_path: Path) -> None:
    few = make_scores({"random": [0.5] * MOST_LISTED})
    many = make_scores({"random": [0.5] * (MOST_LISTED + 1)})
    index = write_report(few, None, infer_spec(few), tmp_path)
    assert read(index).tags.count("tr") > MOST_LISTED
    index = write_report(many, None, infer_spec(many), tmp_path, Background(root=".."))
    page = read(index)
    assert page.tags.count("tr") < 20
    assert "2,001 runs are too many to list here" in page.text
    assert "../scores.csv" in page.links


def test_a_race_has_no_missing_runs_and_names_its_looks(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    racing = RacingConfig(looks=(3, 5), levels=(0.01, 0.04))
    scores = make_scores({"update_all": [0.5] * 5, "freeze_head": [0.1] * 3})
    spec = replace(infer_spec(scores), inferred=False, racing=racing)
    text = read(write_report(scores, None, spec, tmp_path)).text
    assert "missing" not in text[text.index("Runs") :].partition("Health")[0]
    assert "5 seeds at most: a race" in text
    assert "Looks after 3 seeds (1.00%), 5 seeds (4.00%)." in text


@pytest.mark.parametrize(("number", "has_map"), [(3, False), (4, True)])
def test_from_four_transfers_on_there_is_a_heat_map(number: int, has_map: bool) -> None:
    from make_golden import GOLDEN

    from thaw.report.metrics import metrics_frame
    from thaw.report.page.grids import heat_map
    from thaw.report.scores import read_scores

    spec = replace(CATCH, transfers=CATCH.transfers[:number])
    scores = read_scores(GOLDEN / "catch" / "scores.csv")
    text = heat_map(metrics_frame(scores, spec), spec)
    assert bool(text) == has_map
    if has_map:  # each transfer has one strongest and one empty cell
        assert text.count("46%") == text.count(" 0%") == number


def test_the_glossary_draws_which_part_trains() -> None:
    rules = {"mine": "embedding=random:frozen,head=source:trained,head.lstm=random:trained"}
    conditions = ("random", "freeze_head", "mine", "unknown")
    text = glossary(ReportSpec("n", (("a", "b"),), conditions, (0,)), rules)
    items = text.split("<li>")[1:]
    assert len(items) == 3
    shown = [(item.count('class="snow"'), item.count('class="flame"')) for item in items]
    assert shown == [(0, 0), (1, 1), (1, 1)]
    filled = [item.count('class="box filled"') for item in items]
    assert filled == [0, 2, 1]
    assert "Embedding pretrained and trained, head pretrained and frozen." in items[1]
    assert "Embedding random and frozen, head pretrained and trained, head.lstm random" in items[2]
    assert items[1].index('class="flame"') < items[1].index('class="snow"')


def test_the_glossary_says_when_a_part_trains_and_what_is_mixed() -> None:
    rules = {"own": "embedding=source~0.3:frozen@1200,head=random:trained@25%"}
    text = glossary(ReportSpec("n", (("a", "b"),), ("own", "l2_sp"), (0,)), rules)
    assert "Embedding 0.7 pretrained plus 0.3 random and trained until step 1,200, " in text
    assert "head random and trained from 25% of the run on." in text
    assert "Embedding pretrained and trained, head pretrained and trained." in text


def test_absent_parts_say_why(make_scores: MakeScores, tmp_path: Path) -> None:
    spec = ReportSpec("n", (("catch", "catch@large_ball"),), ("update_all",), (0,))
    text = read(write_report(make_scores({"update_all": [0.5]}), None, spec, tmp_path)).text
    assert "there is no curves.csv" in text
    assert "no score has a source_mean_return" in text
    assert "every planned run is finished" in text
    assert "Not given: there is one transfer only." in text


def test_the_data_of_the_curves_are_the_averages_of_the_figures(catch: Structure) -> None:
    from make_golden import GOLDEN

    from thaw.report.curves import curve_points
    from thaw.report.scores import read_curves

    curves = read_curves(GOLDEN / "catch" / "curves.csv")
    document = json.loads(catch.scripts[0])
    places = {name: place for place, name in enumerate(CATCH.conditions)}
    for transfer, panel in zip(CATCH.transfers, document["panels"], strict=True):
        shown = {curve["look"]: curve for curve in panel["curves"]}
        assert set(shown) == set(places.values())
        for condition in ("scratch", "update_all", "freeze_embedding", "freeze_head"):
            points = curve_points(curves, CATCH, *transfer, condition)
            curve = shown[places[condition]]
            assert panel["grids"][curve["x"]] == points.steps.tolist()
            assert curve["y"] == pytest.approx(points.mean.tolist(), abs=1e-3)
            lows = [None if low != low else pytest.approx(low, abs=1e-3) for low in points.low]
            assert curve["low"] == lows
        assert 0 < len(panel["seeds"]) <= MOST_SEED_LINES


def luminance(color: str) -> float:
    """Return the relative luminance of a color (WCAG 2)."""
    digits = color.lstrip("#")
    full = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(full[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> dict[str, dict[str, str]]:
    """Return the colors of each theme by their names in page.css."""
    text = (FOLDER / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{([^}]*)\}", text)[:2]
    pairs = [dict(re.findall(r"--(\w+): (#\w+)", part)) for part in (light, dark)]
    return {"light": pairs[0], "dark": pairs[0] | pairs[1]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(theme: str) -> None:
    colors = themes()[theme]
    for name in ("ink", "soft", "accent", "good", "unsure", "bad"):
        for ground in ("paper", "tint"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)


def test_lines_stand_out_in_both_themes() -> None:
    spec = ReportSpec("n", (("a", "b"),), (*LOOKS, *"abcde"), (0,))
    paper = {theme: colors["paper"] for theme, colors in themes().items()}
    for condition, look in looks(spec).items():
        assert contrast(look.dark, paper["dark"]) >= 4.5, condition
        if condition in LOOKS:
            assert contrast(look.color, paper["light"]) >= 3, condition
