"""`make docs` builds the site without a complaint, and the site loads nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Loads(HTMLParser):
    """Collects the addresses that a browser loads for a page; hyperlinks are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.classes |= set(values.get("class", "").split())
        names = ("src", "srcset", "data", "poster", "style")
        self.addresses += [values[name] for name in names if name in values]
        if tag != "a":
            self.addresses += [values[name] for name in ("href", "xlink:href") if name in values]

    def handle_data(self, data: str) -> None:
        if self.get_starttag_text() is not None and self.cdata_elem == "style":
            self.addresses += re.findall(r"url\([^)]*\)|@import[^;]*", data)


def outside(addresses: list[str]) -> list[str]:
    """Return those that name another machine; what lies in the address itself does not count."""
    left = [re.sub(r"url\(['\"]?data:.*|^data:.*", "", address) for address in addresses]
    return [address for address in left if re.search(r"(^|[\s'\"(])(https?:)?//", address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert any("stylesheets" in address for address in loads.addresses), page
        assert outside(loads.addresses) == [], page
        # The theme's script asks the network for these alone: diagrams, and a repository's stars.
        assert not loads.classes & {"mermaid", "md-source"}, page


def test_no_style_sheet_or_picture_loads_anything_from_the_network(site: Path) -> None:
    files = [*site.rglob("*.css"), *site.rglob("*.svg")]
    assert {path.suffix for path in files} == {".css", ".svg"}
    loading = r"url\([^)]*\)|@import[^;]*|(?:xlink:)?href=\"[^\"]*\""
    for path in files:
        assert outside(re.findall(loading, path.read_text(encoding="utf-8"))) == [], path


def test_a_load_from_the_network_is_found() -> None:
    loads = Loads()
    loads.feed(
        '<link href="//a.org/a.css"><a href="https://b.org">b</a><img src="c.png">'
        '<style>@import "https://d.org/d.css"; p { background: url(https://e.org/e) }</style>'
    )
    found = outside(loads.addresses)
    assert [next(letter for letter in "abcde" if f"{letter}.org" in each) for each in found] == [
        "a", "d", "e",
    ]  # fmt: skip


def test_the_site_has_the_docstrings_and_the_linked_files(site: Path) -> None:
    public = (site / "api/index.html").read_text(encoding="utf-8")
    for name in ("Suite", "make_env", "apply_update_rule", "vtrace", "InputError"):
        assert f'id="thaw.{name}"' in public
    assert "pg_advantages" in (site / "api/impala.html").read_text(encoding="utf-8")
    assert (site / "repository/benchmarks/amd-epyc-2-cores.html").is_file()
    changes = (site / "repository/CHANGELOG.html").read_text(encoding="utf-8")
    assert 'href="../performance.html"' in changes
