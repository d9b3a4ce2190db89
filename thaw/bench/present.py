"""Present the rates: a table, ratios with their spread, one page for each machine."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np

from thaw.bench.picture import draw_times
from thaw.bench.rates import Rates
from thaw.bench.subjects import PARTS
from thaw.bench.workload import Workload
from thaw.config.runtime import Runtime, num_cores
from thaw.files.atomic import as_write_failed, write_atomic
from thaw.training.machine import describe_machine

LABELS = {
    "environment": "environment only",
    "act": "act only",
    "learn": "learn only",
    "act and learn": "act, then learn from the same embeddings",
    "bound": "bound: 1 / (1/environment + 1/act and learn)",
    "bound, two passes": "bound of two passes: 1 / (1/environment + 1/act + 1/learn)",
    "bound, frozen embedding": "bound of a frozen embedding: 1 / (1/environment + 1/act)",
    "freeze_all": "freeze_all (acts, never learns)",
    "packed": "lockstep update_all, packed runs together",
}
BOUNDS = {
    "bound": ("environment", "act and learn"),
    "bound, two passes": ("environment", "act", "learn"),
    "bound, frozen embedding": ("environment", "act"),
}
"""The parts that follow each other: nothing happens at the same time, and nothing else is done."""
RATIOS = {
    "update_all / bound": ("lockstep update_all", "bound"),
    "update_all / bound of two passes": ("lockstep update_all", "bound, two passes"),
    "bound / bound of two passes": ("bound", "bound, two passes"),
    "freeze_embedding / its bound": ("lockstep freeze_embedding", "bound, frozen embedding"),
    "freeze_embedding / update_all": ("lockstep freeze_embedding", "lockstep update_all"),
    "freeze_head / update_all": ("lockstep freeze_head", "lockstep update_all"),
    "overlapped / lockstep": ("overlapped update_all", "lockstep update_all"),
    "two groups / one": ("lockstep update_all, two groups", "lockstep update_all"),
    "two groups / one, freeze_embedding": (
        "lockstep freeze_embedding, two groups",
        "lockstep freeze_embedding",
    ),
    "packed / one run on all threads": ("packed", "lockstep update_all"),
    "update_all / environment": ("lockstep update_all", "environment"),
}


def summarize(workload: Workload, rates: Rates) -> dict[str, Any]:
    """Summarize rates: the median, lowest and highest over rounds.

    A ratio is taken within each round, so that a slow phase of the machine affects both rates.
    """
    rounds = {name: np.array(values) for name, values in rates.steps_per_second.items()}
    product = rounds.pop("matrix product")
    for bound, parts in BOUNDS.items():
        rounds[bound] = 1 / np.sum([1 / rounds[part] for part in parts], axis=0)
    first = [*PARTS, *BOUNDS]
    order = [*first, *(name for name in rounds if name not in first)]
    multiplied = (
        {}
        if not rates.num_multiplications
        else {
            "best matrix product": product,
            "acting": rates.num_multiplications * rounds["act"],
            "acting and learning": 3 * rates.num_multiplications * rounds["act and learn"],
        }
    )
    machine = describe_machine(
        Runtime(device=workload.device, num_threads=workload.num_threads), workload.flavor
    )
    return {
        "flavor": str(workload.flavor),
        "embedding": workload.agent.embedding,
        "precision": workload.agent.precision,
        "num_envs": workload.num_envs,
        "unroll_length": workload.agent.unroll_length,
        "num_threads": workload.num_threads,
        "num_packed": workload.num_packed,
        "num_rounds": len(rounds["act"]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine | {"num_cores": num_cores()},
        "steps_per_second": {name: _spread(rounds[name]) for name in order},
        "ratios": {
            name: _spread(rounds[a] / rounds[b]) for name, (a, b) in RATIOS.items() if a in rounds
        },
        "multiplications_per_second": {
            name: _spread(values)
            for name, values in multiplied.items()
            if rates.num_multiplications
        },
        "peak_mib": round(rates.peak_mib, 1),
    }


def table(summary: dict[str, Any]) -> str:
    """Write a summary as Markdown tables, which are also readable in a terminal."""
    rows = ["| decisions per second | median | lowest | highest |", "|---|---:|---:|---:|"]
    for name, spread in summary["steps_per_second"].items():
        label = LABELS.get(name, name)
        rows.append(_row(label, spread, ",.0f"))
    rows += ["", "| ratio, within rounds | median | lowest | highest |", "|---|---:|---:|---:|"]
    for name, spread in summary["ratios"].items():
        rows.append(_row(name, spread, ".2f"))
    if summary["multiplications_per_second"]:
        rows += ["", "| 10^9 multiplications per second | median | lowest | highest |"]
        rows += ["|---|---:|---:|---:|"]
    for name, spread in summary["multiplications_per_second"].items():
        rows.append(_row(name, {key: value / 1e9 for key, value in spread.items()}, ",.1f"))
    return "\n".join([*rows, "", f"Peak memory of one run: {summary['peak_mib']:,.0f} MiB."])


def markdown(summary: dict[str, Any], command: str) -> str:
    """Write a summary as a section of a page."""
    machine = summary["machine"]
    packages = {k: v for k, v in machine["packages"].items() if k in ("torch", "numpy")}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    commit = machine["git_commit"]
    return (
        f"## {summary['flavor']}, {summary['embedding']}\n\n"
        f"`{command}`, {summary['date']}, commit {commit[:12] if commit else 'unknown'}: "
        f"{summary['precision']}, {summary['num_envs']} environments, unrolls of "
        f"{summary['unroll_length']}, {summary['num_threads']} threads, {summary['num_packed']} "
        f"packed runs, {summary['num_rounds']} rounds; device {machine['device']}; Python "
        f"{machine['python']}, {versions}.\n\n{table(summary)}\n"
    )


def write_benchmark(summary: dict[str, Any], command: str, folder: Path) -> Path:
    """Write a summary to its machine's page; it replaces an earlier one of the same workload.

    Returns:
        The page, ``<hardware>.md``; the picture is in the same folder.

    Raises:
        WriteFailed: It cannot be written.
    """
    with as_write_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
    machine = summary["machine"]
    hardware = f"{machine['processor']}, {machine['num_cores']} cores"
    if machine["device"] != "cpu":
        hardware += f", {machine['device']}"
    path = folder / f"{_slug(hardware)}.md"
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = {
        section.partition("\n")[0]: f"## {section.rstrip()}\n"
        for section in earlier.split("\n## ")[1:]
    }
    picture = folder / f"{_slug(hardware)}-{_slug(summary['flavor'])}.svg"
    write_atomic(picture, draw_times(summary))
    fresh = f"{markdown(summary, command)}\n![Where the time goes]({picture.name})\n"
    sections[fresh.partition("\n")[0].removeprefix("## ")] = fresh
    write_atomic(path, "\n".join([f"# {hardware}\n", *sections.values()]).encode())
    return path


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def _row(label: str, spread: dict[str, float], form: str) -> str:
    return " | ".join([f"| {label}", *(format(value, form) for value in spread.values())]) + " |"


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }
