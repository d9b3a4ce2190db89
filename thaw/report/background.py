"""What a suite's folder tells beyond its scores; scores from elsewhere come without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provenance:
    """Where the runs come from, each field as text for a reader; empty where it is unknown.

    Attributes:
        date: When the newest run ended.
        command: What executes the suite again.
        versions: Of thaw and of the packages that decide results.
        commit: Of the checkout that thaw ran from.
        machine: Processors and devices.
        budgets: Steps and episodes.
        network: Embedding, head and arithmetic.
        clock: How acting and learning took turns.
        wall_time: What all runs took.
        suite_file: Link to the suite's file, relative to the page.
    """

    date: str = ""
    command: str = ""
    versions: str = ""
    commit: str = ""
    machine: str = ""
    budgets: str = ""
    network: str = ""
    clock: str = ""
    wall_time: str = ""
    suite_file: str = ""


@dataclass(frozen=True)
class Background:
    """Everything that the page can show only for a suite's folder.

    Attributes:
        provenance: See there.
        root: Path from the page to the suite's folder, as ``..``; empty if the page lies elsewhere.
        runs: Path from the page to the folder of the runs; empty if there is none to link.
        pictures: A small PNG of each flavor, by its address.
        films: Names of recorded films, relative to the suite's folder.
        update_rules: The rule of each condition that has one, as ``embedding=source:frozen,...``.
        health: What the runs' own files say of how they went: a sentence by its title.
    """

    provenance: Provenance = Provenance()
    root: str = ""
    runs: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    films: tuple[str, ...] = ()
    update_rules: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, str] = field(default_factory=dict)
