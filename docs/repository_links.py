"""Gives the docs site a page for every file outside docs/ that a page links to.

Links between files are written as GitHub reads them, relative to the file. The site holds
docs/ alone, so this MkDocs hook adds the other linked files below ``repository/`` (Markdown as it
is, code in a block, pictures as they are) and turns the links to them. A notebook becomes a page.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "repository/"
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")
"""A link's path in Markdown, without the part after ``#``."""
IN_NAVIGATION = ("CONTRIBUTING.md", "CHANGELOG.md")
PICTURES = (".png", ".svg")
SPHINX_ROLE = re.compile(r":(?:attr|class|exc|func|meth|mod):(?=<code>)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that the pages link to, and those that these link to in turn."""
    waiting = list(IN_NAVIGATION)
    for file in files.documentation_pages():
        waiting += outside_links(file.content_string, f"docs/{file.src_uri}")
    while waiting:
        path = waiting.pop()
        place = place_on_site(path)
        if files.get_file_from_path(place) is not None:
            continue
        source = ROOT / path
        if path.endswith(PICTURES):
            files.append(File.generated(config, place, abs_src_path=str(source)))
            continue
        text = source.read_text(encoding="utf-8")
        if path.endswith(".md"):
            waiting += outside_links(text, path)
        else:
            language = "python" if path.endswith(".py") else "text"
            text = f"# {path}\n\n````{language}\n{text}\n````\n"
        files.append(File.generated(config, place, content=text))
    for notebook in [file.src_uri for file in files if file.src_uri.endswith(".ipynb")]:
        text = notebook_page((ROOT / "docs" / notebook).read_text(encoding="utf-8"))
        place = place_on_site(f"docs/{notebook}")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page to where the site has the files."""
    del config, files
    here = page.file.src_uri
    path = here.removeprefix(FOLDER) if here.startswith(FOLDER) else f"docs/{here}"
    if not path.endswith(".md") or not (ROOT / path).is_file():
        return markdown  # the source code of a linked file

    def turned(link: re.Match[str]) -> str:
        target = in_repository(link[0], path)
        if target is None:
            return link[0]
        return posixpath.relpath(place_on_site(target), posixpath.dirname(here) or ".")

    return LINK.sub(turned, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the signs of reStructuredText out of docstrings: Markdown would show them."""
    del page, config, files
    return SPHINX_ROLE.sub("", html).replace("::</p>", ":</p>")


def notebook_page(text: str) -> str:
    """Return a notebook as Markdown, with the outputs that it stores."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [notebook_output(output) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def notebook_output(output: dict[str, Any]) -> str:
    """Return one output of a cell: a table, a picture, or what would be printed."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/markdown" in data:
        return "".join(data["text/markdown"]).replace("### ", "**", 1).replace("\n", "**\n", 1)
    if "image/png" in data:
        return f"![A figure of the notebook](data:image/png;base64,{data['image/png']})"
    return f"```text\n{''.join(data['text/plain'])}\n```"


def in_repository(link: str, path: str) -> str | None:
    """Return the file that a link in ``path`` means; None for an address on the web."""
    if re.match(r"[a-z]+:", link):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def outside_links(text: str, path: str) -> list[str]:
    """Return the files outside docs/ that a page links to and that exist.

    A link to a file that does not exist is left to MkDocs, which reports it.
    """
    found = (in_repository(link, path) for link in LINK.findall(text))
    return [
        target
        for target in found
        if target is not None and not target.startswith("docs/") and (ROOT / target).is_file()
    ]


def place_on_site(path: str) -> str:
    """Return where the site keeps a file of the repository."""
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return FOLDER + path + ("" if path.endswith((".md", *PICTURES)) else ".md")
