"""Executes the notebooks of the docs and stores what they show: python tests/support/notebooks.py.

A notebook is JSON, and ours hold plain Python. So its cells are executed here one after the other,
as a kernel would, and Jupyter is no dependency of the tests.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
KINDS = {
    "text/markdown": "_repr_markdown_",
    "text/html": "_repr_html_",
    "image/png": "_repr_png_",
}


def load(path: Path) -> dict[str, Any]:
    """Read a notebook."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def execute(document: dict[str, Any], folder: Path) -> list[list[dict[str, Any]]]:
    """Execute the code cells in a folder.

    Returns:
        The outputs of each code cell, in the notebook format.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    here = Path.cwd()
    os.chdir(folder)
    try:
        return [
            _execute("".join(cell["source"]), namespace, number)
            for number, cell in enumerate(cells, 1)
        ]
    finally:
        os.chdir(here)


def _execute(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Execute one cell; the value of its last line is shown, as a kernel shows it."""
    tree = ast.parse(source, f"cell {number}")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), namespace)  # noqa: S102 - our own notebook
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text)})
    if value is not None:
        data: dict[str, list[str] | str] = {"text/plain": _lines(repr(value))}
        for kind, method in KINDS.items():
            shown = getattr(value, method)() if hasattr(value, method) else None
            if shown is not None:
                is_text = isinstance(shown, str)
                data[kind] = _lines(shown) if is_text else base64.b64encode(shown).decode()
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": data,
            }
        )
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Store the outputs of every notebook."""
    import tempfile

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        document = load(path)
        with tempfile.TemporaryDirectory() as folder:
            outputs = execute(document, Path(folder))
        cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
        for number, (cell, shown) in enumerate(zip(cells, outputs, strict=True), 1):
            cell |= {"execution_count": number, "outputs": shown}
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
