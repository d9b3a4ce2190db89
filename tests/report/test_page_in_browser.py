"""What a reader sees, in a headless Chromium; skipped where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chromium import WHY_NOT, chromium, console, requests, set_screen, set_theme
from make_golden import ATARI, CATCH, build
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from thaw.report.scores import check_scores, infer_spec
from thaw.report.write import write_report

pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.xdist_group("browser"),
]

PATIENCE = 60
"""Seconds; a busy machine draws slowly."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("profile") / "new") as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        spec.name: build(name, spec, tmp_path_factory.mktemp(name))
        for name, spec in (("catch", CATCH), ("atari", ATARI))
    }


@pytest.fixture
def catch(driver: WebDriver, pages: dict[str, Path]) -> WebDriver:
    """The page of the Catch runs, with all curves drawn, on a light desk."""
    show(driver, pages[CATCH.name])
    return driver


def show(driver: WebDriver, page: Path, *, theme: str = "light", width: int = 1200) -> None:
    console(driver), requests(driver)  # of the page before
    set_theme(driver, theme)
    set_screen(driver, width)
    driver.get(page.as_uri())
    if driver.find_elements(By.ID, "curves"):
        wait_until_drawn(driver)


def wait_until_drawn(driver: WebDriver) -> None:
    script = "return document.documentElement.dataset.curves === 'drawn'"
    WebDriverWait(driver, PATIENCE).until(lambda driver: driver.execute_script(script))


def traces(driver: WebDriver) -> list[list[dict[str, Any]]]:
    """Return the kind, condition, visibility and values of every line, by panel."""
    text = driver.execute_script(
        "return JSON.stringify([...document.querySelectorAll('.live')].map((place) => "
        "place.data.map((line) => ({...line.meta, shown: line.visible, y: line.y}))))"
    )
    found: list[list[dict[str, Any]]] = json.loads(text)
    return found


def styles(driver: WebDriver, selector: str, name: str) -> set[str]:
    script = (
        "return [...document.querySelectorAll(arguments[0])].map("
        "(found) => getComputedStyle(found)[arguments[1]])"
    )
    return set(driver.execute_script(script, selector, name))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", [CATCH.name, ATARI.name])
def test_a_page_has_no_error_no_request_and_no_sideways_scrolling(
    driver: WebDriver, pages: dict[str, Path], name: str, width: int, theme: str
) -> None:
    show(driver, pages[name], theme=theme, width=width)
    assert console(driver) == []
    assert requests(driver) == [pages[name].as_uri()]
    widths = driver.execute_script(
        "return [document.scrollingElement.scrollWidth, innerWidth, document.body.clientWidth]"
    )
    assert widths[0] <= widths[1] == width
    # No element is cut, but for the inside of a table's box; and a box that cuts one says so.
    cut = driver.execute_script(
        "return [...document.querySelectorAll('body *')].filter((found) => !found.closest('table')"
        " && !found.closest('svg') && found.getBoundingClientRect().right > innerWidth + 1)"
        ".map((found) => found.outerHTML.slice(0, 100))"
    )
    assert cut == []
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.wide')].filter((box) => box.offsetParent)"
        ".map((box) => [box.scrollWidth > box.clientWidth + 1, box.classList.contains('cut')])"
    )
    assert all(is_cut == says_so for is_cut, says_so in boxes)
    assert any(is_cut for is_cut, _ in boxes) == (width == 390)


def test_the_policy_stops_what_a_page_must_not_do(catch: WebDriver) -> None:
    catch.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.evil = 1';"
        "document.body.append(made); new Image().src = 'http://127.0.0.1:9/x.png'"
    )
    assert catch.execute_script("return window.evil") is None
    said: list[str] = []

    def both_are_stopped(driver: WebDriver) -> bool:
        said.extend(console(driver))
        return len(said) == 2

    WebDriverWait(catch, PATIENCE).until(both_are_stopped)
    assert sum("script-src" in message for message in said) == 1
    assert sum("img-src data:" in message for message in said) == 1


def test_every_panel_is_drawn_with_every_condition(catch: WebDriver) -> None:
    panels = traces(catch)
    assert len(panels) == len(CATCH.transfers)
    for panel in panels:
        for kind in ("mean", "band"):
            looks = [line["look"] for line in panel if line["kind"] == kind]
            assert looks == list(range(len(CATCH.conditions)))
    drawn = catch.execute_script(
        "return [...document.querySelectorAll('.live')].map((place) => "
        "[...place.querySelectorAll('.scatterlayer .trace path.js-line')]"
        ".filter((line) => line.getTotalLength() > 50).length)"
    )
    assert all(number >= len(CATCH.conditions) for number in drawn)
    assert styles(catch, "svg.static", "display") == {"none", "block"}  # the final returns stay


def test_the_legend_hides_a_condition_everywhere_and_changes_no_other_line(
    catch: WebDriver,
) -> None:
    before = traces(catch)
    button = catch.find_element(By.CSS_SELECTOR, '.legend li[data-look="2"] button')
    assert button.text == "Update all"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    for panel, earlier in zip(traces(catch), before, strict=True):
        for line, old in zip(panel, earlier, strict=True):
            assert line["y"] == old["y"]
            assert line["shown"] == (old["shown"] and line["look"] != 2)
    button.send_keys(Keys.SPACE)  # the keyboard works too
    assert traces(catch) == before


def test_single_seeds_are_shown_on_demand(catch: WebDriver) -> None:
    def shown_seeds() -> list[int]:
        return [
            sum(line["kind"] == "seed" and line["shown"] for line in panel)
            for panel in traces(catch)
        ]

    assert shown_seeds() == [0, 0, 0, 0]
    catch.find_element(By.CSS_SELECTOR, ".legend .seeds").click()
    assert shown_seeds() == [20, 20, 20, 18]  # 4 conditions of 5 seeds; two runs are missing
    catch.find_element(By.CSS_SELECTOR, '.legend li[data-look="2"] button').click()
    assert shown_seeds() == [15, 15, 15, 13]


def test_a_point_says_its_value_interval_and_seeds(catch: WebDriver) -> None:
    catch.execute_script(
        "const place = document.querySelector('.live'); place.scrollIntoView({block: 'center'});"
        "Plotly.Fx.hover(place, [{curveNumber: place.data.findIndex((line) => "
        "line.meta.kind === 'mean' && line.meta.look === 2), pointNumber: 10}])"
    )
    script = "return document.querySelector('.live .hoverlayer').textContent"
    text = WebDriverWait(catch, PATIENCE).until(lambda driver: driver.execute_script(script))
    assert "Update all: 0." in text
    assert "5 seeds" in text


def test_a_heading_sorts_its_column(catch: WebDriver) -> None:
    box = catch.find_element(By.CSS_SELECTOR, ".main .wide")

    def column(place: int) -> list[str]:
        cells = box.find_elements(By.CSS_SELECTOR, f"tbody tr > :nth-child({place})")
        return [cell.text.split("\n")[0] for cell in cells]

    heading = box.find_elements(By.CSS_SELECTOR, "thead th")[1]
    button = heading.find_element(By.TAG_NAME, "button")
    button.click()
    rising = [float(text) for text in column(2)]
    assert rising == sorted(rising)
    assert heading.get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.ENTER)
    assert [float(text) for text in column(2)] == rising[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    # Conditions without a number of the paper stay last, upwards and downwards.
    paper = box.find_elements(By.CSS_SELECTOR, "thead th button")[2]
    for _ in range(2):
        paper.click()
        assert column(3)[-2:] == ["", ""]
    box.find_elements(By.CSS_SELECTOR, "thead th button")[0].click()
    assert column(1) == sorted(column(1))


def test_times_are_sorted_by_their_seconds(catch: WebDriver) -> None:
    fold = catch.find_element(By.CSS_SELECTOR, "#runs ~ details")
    fold.find_element(By.TAG_NAME, "summary").click()
    headings = fold.find_elements(By.CSS_SELECTOR, "thead th")
    place = next(i for i, heading in enumerate(headings) if heading.text.startswith("time"))
    headings[place].find_element(By.TAG_NAME, "button").click()
    cells = fold.find_elements(By.CSS_SELECTOR, f"tbody tr > :nth-child({place + 1})")
    seconds = [float(cell.get_attribute("data-value") or "nan") for cell in cells]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]


def test_the_figures_follow_a_change_of_the_theme(catch: WebDriver) -> None:
    line, label = ".live .scatterlayer .js-line", ".live .xtick text"
    light = styles(catch, line, "stroke"), styles(catch, label, "fill")
    ground = styles(catch, "body", "backgroundColor")
    catch.execute_script("delete document.documentElement.dataset.curves")
    set_theme(catch, "dark")
    wait_until_drawn(catch)
    dark = styles(catch, line, "stroke"), styles(catch, label, "fill")
    assert light[0].isdisjoint(dark[0])
    assert light[1].isdisjoint(dark[1])
    assert styles(catch, "body", "backgroundColor") != ground
    scratch = '.legend li[data-look="1"] path'
    assert styles(catch, scratch, "stroke") == {"rgb(221, 225, 229)"}


def test_without_scripts_the_page_shows_the_same(driver: WebDriver, pages: dict[str, Path]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        set_screen(driver, 390)
        console(driver)
        driver.get(pages[CATCH.name].as_uri())
        figures = driver.find_elements(By.CSS_SELECTOR, "figure[data-panel]")
        assert len(figures) == len(CATCH.transfers)
        for figure in figures:
            still = figure.find_element(By.CSS_SELECTOR, "svg.static")
            assert still.is_displayed()
            assert len(still.find_elements(By.CSS_SELECTOR, "path.line")) == len(CATCH.conditions)
        assert driver.find_elements(By.CSS_SELECTOR, ".live, button") == []
        assert "0.647" in driver.find_element(By.CSS_SELECTOR, ".main table").text
        assert console(driver) == []
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_figures_are_still_and_everything_is_open(
    driver: WebDriver, pages: dict[str, Path]
) -> None:
    show(driver, pages[CATCH.name], theme="dark")
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    try:
        assert styles(driver, "svg.static", "display") == {"block"}
        assert styles(driver, ".live", "display") == {"none"}
        assert styles(driver, "body", "color") == {"rgb(28, 32, 36)"}  # ink, not light on light
        assert driver.find_elements(By.CSS_SELECTOR, "details:not([open])") == []
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert driver.find_elements(By.CSS_SELECTOR, "details[open]") == []


def test_names_from_a_foreign_file_stay_text(driver: WebDriver, tmp_path: Path) -> None:
    evil = '<img src=x onerror="window.evil=1"><a href="http://x.org">x</a>'
    rows = [("t" + evil, evil, seed, 0.1 * seed) for seed in range(4)]
    scores = pd.DataFrame(rows, columns=["target", "condition", "seed", "mean_return"])
    curves = pd.concat([scores.assign(steps=10), scores.assign(steps=20)])
    page = write_report(scores, curves, infer_spec(check_scores(scores)), tmp_path)
    show(driver, page)
    driver.execute_script(
        "Plotly.Fx.hover(document.querySelector('.live'), [{curveNumber: 5, pointNumber: 0}])"
    )
    assert driver.find_elements(By.CSS_SELECTOR, "img") == []
    links = driver.find_elements(By.CSS_SELECTOR, "a")
    assert not [link for link in links if "x.org" in (link.get_attribute("href") or "")]
    assert driver.execute_script("return window.evil") is None
    assert console(driver) == []
    assert requests(driver) == [page.as_uri()]
