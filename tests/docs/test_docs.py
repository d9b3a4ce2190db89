"""The README and docs/ say what is true: commands, code, suites, links and paths are tried.

The commands and the Python of the pages in ``RUN`` are run, with small budgets and in their order,
in one folder. Those of the other pages are read by the real command line, but not executed.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import jsonschema
import pytest
import yaml
from command_line import TINY, Say

import thaw
from thaw.config.named_rules import NAMED_RULES
from thaw.files.checkpoint import save_checkpoint
from thaw.files.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN = [ROOT / name for name in ("README.md", "docs/index.md", "docs/environments.md")]
SMALL_SUITE = [
    "--set", "pretrain_steps=400", "--set", "transfer_steps=400",
    "--set", "evaluation.episodes=8",
]  # fmt: skip
PLACES = {"train": 0, "transfer": 1, "evaluate": 1, "record": 1}
"""Which argument of a command is a flavor."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w+)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, language, block in found if language in languages]


def commands(page: Path, program: str = "thaw") -> list[list[str]]:
    """Return the commands of the shell blocks as words, comments left out."""
    lines = [
        line.strip()
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if line.startswith(program + " ")]


def inline(page: Path) -> str:
    """Return the text without its blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def without(words: list[str], flag: str) -> list[str]:
    """Drop a flag and its value."""
    if flag not in words:
        return words
    place = words.index(flag)
    return words[:place] + words[place + 2 :]


def made_small(words: list[str]) -> list[str]:
    """Cut a command's budget."""
    match words[1]:
        case "run":
            # The suite's own first seed: pages name its folder.
            first = thaw.load_suite(words[2]).seed_list[0]
            return [*without(words, "--seeds"), *SMALL_SUITE, "--set", f"seeds=[{first}]"]
        case "train" | "transfer":
            small = [*without(words, "--steps"), "--steps", "400"]
            return [*small, "--set", "evaluation.episodes=8"]
        case "evaluate":
            return [*without(words, "--episodes"), "--episodes", "8"]
        case _:
            return words


def test_the_readme_shows_the_commands_that_matter() -> None:
    shown = {words[1] for words in commands(ROOT / "README.md")}
    assert {"run", "plan", "status", "report", "train", "transfer", "evaluate"} <= shown
    assert ["make", "demo"] in commands(ROOT / "README.md", "make")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "pages", [RUN[:1], pytest.param(RUN, marks=pytest.mark.slow)], ids=["README", "all"]
)
def test_the_commands_and_the_python_run(say: Say, tmp_path: Path, pages: list[Path]) -> None:
    """One test, so that all of it happens once and in one folder."""
    shutil.copy(Path(__file__).with_name("my_package.py"), tmp_path)
    tried: list[list[str]] = []
    for page in pages:
        for written in commands(page):
            words, target = made_small(written), None
            if words in tried:
                continue
            tried.append(words)
            if ">" in words:
                words, target = words[: words.index(">")], words[-1]
            spoken = say(*words[1:])
            assert spoken.status == 0, (name_of(page), words, spoken.err)
            if target is not None:
                (tmp_path / target).write_text(spoken.out)
        for block in blocks(page, "python"):
            done = subprocess.run(
                [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, (block, done.stderr)
    assert (tmp_path / "demo-catch/report/index.html").is_file()
    if pages != RUN:
        return
    for made in ("moved.mp4", "film.mp4", "flavors.png"):
        assert (tmp_path / made).is_file(), made
    mine = thaw.load_suite(tmp_path / "my-suite.yaml")
    assert mine.transfers == thaw.load_suite("catch-quick").transfers


@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN], ids=name_of)
def test_python_blocks_that_are_not_run_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, name_of(page), "exec")


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_the_command_line_understands_every_command(page: Path, say: Say) -> None:
    """One more option, which no command has, makes parsing fail there and nowhere else."""
    for words in commands(page):
        if words[1].startswith("--"):
            continue  # `thaw --version`
        words = words[1 : words.index(">")] if ">" in words else words[1:]
        spoken = say(*words, "--no-such-option")
        assert spoken.status == 2
        assert f"unknown option '--no-such-option' of thaw {words[0]}." in spoken.err, words
        if words[0] in PLACES:
            thaw.Flavor(words[1 + PLACES[words[0]]])
        if words[0] in ("run", "plan", "gallery") and not words[1].endswith(".yaml"):
            thaw.load_suite(words[1])


def test_the_first_page_shows_what_plan_says(say: Say) -> None:
    summary = next(line for line in say("plan", "catch-quick").out.splitlines() if ": " in line)
    assert "112 runs" in summary
    assert summary in (ROOT / "docs/index.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_in_the_text_exist(page: Path, say: Say) -> None:
    names = re.search(r"\{([a-z,-]+)\}", say("--help").out)
    assert names is not None
    for quoted in re.findall(r"`thaw ([a-z][^`]*)`", inline(page)):
        words = quoted.split()
        assert words[0] in names[1].split(","), quoted
        shown = say(words[0], "--help").out
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", shown), quoted


def test_every_make_target_that_the_pages_name_is_there() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = [target for page in PAGES for target in re.findall(r"`make ([\w-]+)`", inline(page))]
    asked += [words[1] for page in PAGES for words in commands(page, "make")]
    assert {"demo", "test", "docs"} <= set(asked)
    assert set(asked) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_yaml_block_is_a_suite_or_a_part_of_one(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # suites name policies in the working folder
    if "source_checkpoint" in page.read_text(encoding="utf-8"):
        policy = thaw.Policy((4,), 2, thaw.AgentConfig(embedding="mlp"))
        save_checkpoint(RunFolder(tmp_path / "imported/seed0"), policy)
    suites = [block for block in blocks(page, "yaml") if "cluster_name:" not in block]
    for number, block in enumerate(suites):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block if "transfers:" in block else TINY + block)
        assert thaw.plan(thaw.load_suite(path)).runs


def test_ray_understands_the_cluster_and_gives_its_head_no_runs() -> None:
    ray = pytest.importorskip("ray", reason="pip install 'thaw[ray]'")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    (block,) = blocks(ROOT / "docs/scaling.md", "yaml")
    cluster = yaml.safe_load(block)
    jsonschema.validate(cluster, json.loads(schema.read_text(encoding="utf-8")))
    kinds = cluster["available_node_types"]
    assert kinds[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert sum(kind.get("max_workers", 0) for kind in kinds.values()) == cluster["max_workers"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_linked_file_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_python_file_that_the_pages_name_is_there() -> None:
    named = {
        path
        for page in PAGES
        for path in re.findall(r"`((?:[\w.]+/)+\w+\.py)`", page.read_text(encoding="utf-8"))
    }
    assert "thaw/policy/update_rules.py" in named
    tops = (ROOT, ROOT / "thaw")
    missing = [path for path in named if not any((top / path).exists() for top in tops)]
    assert missing == []


def test_the_plan_of_the_package_lists_every_folder() -> None:
    plan = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = plan.partition("| folder | question |")[2].partition("\n\n")[0]
    folders = {path.parent.name for path in (ROOT / "thaw").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE)) == folders
    picture = (ROOT / "docs/images/layers.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'class="name"[^>]*>(\w+)<', picture)) == folders


def test_the_api_reference_has_every_public_name() -> None:
    reference = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")
    reference += (ROOT / "docs/api/report.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: thaw\.(\w+)$", reference, re.MULTILINE))
    assert shown == set(thaw.__all__)


def test_the_page_of_rules_says_what_the_command_says() -> None:
    lines = (ROOT / "docs/rules.md").read_text(encoding="utf-8").splitlines()
    rows = [re.split(r" *\| *", line.strip("| ")) for line in lines if line.startswith("| `")]
    said = {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in NAMED_RULES}
    assert said == {
        name: f"{rule.what} {rule.found} {rule.when}" for name, rule in NAMED_RULES.items()
    }
    for name, rule in NAMED_RULES.items():
        for paper in re.findall(r"arXiv ([\d.]+)", rule.origin):
            assert f"https://arxiv.org/abs/{paper}" in "\n".join(lines), name
