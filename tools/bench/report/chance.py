# SPDX-License-Identifier: GPL-2.0
"""The figures of twins: guests of one layout in which pages lie elsewhere.

If twins of one layout differ by as much as stock and the module do, and a guest with the module has
no more than one without, the difference does not show that the module is worse.
"""

import copy
import dataclasses
from types import ModuleType

from . import loads, misses
from .compare import Figure, Worse
from .runs import Run, Runs, RunsError

# Subjects whose figures depend on where pages lie and when ticks come: the guest's lines that
# their rows are made of, and the key of these, which guests of different suites share.
SUBJECTS: dict[ModuleType, tuple[str, list[str]]] = {
    misses: ("hot", [*misses.SCENARIO, "rounds"]),
    loads: ("load_free", ["live", "bytes"]),
}


def keys(run: Run, kind: str, key: list[str]) -> set[tuple]:
    """The keys of a guest's lines of a kind."""
    return {tuple(line[name] for name in key) for line in run.said(kind)}


def reduced(run: Run, twin: Run) -> Run:
    """A run without the lines that its twin's shorter suite does not make."""
    result = copy.copy(run)
    for kind, key in SUBJECTS.values():
        common = keys(twin, kind, key)
        if not common <= keys(run, kind, key):
            raise RunsError(f"{twin.name}: {kind} lines that {run.name} does not have")
        result.lines = [
            line
            for line in result.lines
            if line["line"] != kind or tuple(line[name] for name in key) in common
        ]
    return result


class Pairs:
    """Takes the place of Runs: the guest of a layout as stock, its twin as the module."""

    def __init__(self, pairs: list[tuple[Run, Run]]):
        self.by_purpose = {one.guest.purpose: (one, twin) for one, twin in pairs}

    def layouts(self, purpose: str, _wanted: object = ()) -> dict[str, Run]:
        """Both guests of a purpose."""
        if purpose not in self.by_purpose:
            return {}
        one, twin = self.by_purpose[purpose]
        return {"stock": reduced(one, twin), "near": twin}


def figures(runs: Runs, layout: str) -> list[Figure]:
    """The figures of a layout's guests beside those of their twins."""
    pairs = [pair for pair in runs.twins() if pair[0].guest.layout == layout]
    if not pairs:
        return []
    return [one for subject in SUBJECTS for one in subject.figures(subject.rows(Pairs(pairs)))]


def of_twins(runs: Runs, layout: str) -> dict[tuple[str, str], float]:
    """The figures of a layout's twins, by where and what."""
    return {(one.where, one.what): one.module for one in figures(runs, layout)}


def kind(what: str) -> str:
    """What a figure counts, under which model, without its circumstances."""
    return ", ".join(what.split(", ")[:2])


def between(runs: Runs) -> dict[str, float]:
    """By how much guests of one layout differ at most, by kind of figure."""
    most: dict[str, float] = {}
    for one in figures(runs, "stock") + figures(runs, "near"):
        key = kind(one.what)
        most[key] = max(most.get(key, 0), abs(one.module - one.stock))
    return most


def judged(runs: Runs, found: list[Worse]) -> list[Worse]:
    """The figures, each with those of the twins."""
    stock, module = (of_twins(runs, layout) for layout in ["stock", "near"])
    return [
        dataclasses.replace(one, stock_twin=stock.get(key), module_twin=module.get(key))
        for one in found
        for key in [(one.where, one.what)]
    ]


def names(runs: Runs) -> list[str]:
    """The twins, for the report."""
    return [f"{twin.name} ({twin.guest.memory})" for _, twin in runs.twins()]
