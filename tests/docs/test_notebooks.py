"""The notebooks of the docs run, and they show what running them shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from notebooks import NOTEBOOKS, execute, load

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
NEW_EACH_TIME = ("image/png", "text/html")
"""Pictures differ between versions of matplotlib; the HTML holds one."""


def texts(outputs: list[dict[str, Any]]) -> list[object]:
    """Return the printed and shown texts of a cell."""
    shown: list[object] = []
    for output in outputs:
        data = output.get("data", {"text": output.get("text")})
        shown.append({kind: data[kind] for kind in data if kind not in NEW_EACH_TIME})
    return shown


def test_there_is_a_notebook() -> None:
    assert [path.name for path in PATHS] == ["report.ipynb"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_it_stores(path: Path, tmp_path: Path) -> None:
    document = load(path)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in document["cells"]]
    assert len(set(names)) == len(names)
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    for cell, outputs in zip(cells, execute(document, tmp_path), strict=True):
        assert texts(cell["outputs"]) == texts(outputs), "".join(cell["source"])
        kinds = [sorted(output.get("data", ())) for output in cell["outputs"]]
        assert kinds == [sorted(output.get("data", ())) for output in outputs]
    assert (tmp_path / "folder" / "index.html").is_file()
