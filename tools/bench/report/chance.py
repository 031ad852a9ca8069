# SPDX-License-Identifier: GPL-2.0
"""How much a figure differs between two guests of one layout, in which pages lie elsewhere.

A difference between stock and module that is not larger shows nothing.
"""

import copy
from collections.abc import Iterator
from types import ModuleType

from . import loads, misses
from .compare import Worse
from .misses import SCENARIO
from .runs import Run, Runs

# The subjects whose figures depend on where pages lie and when ticks come. Their rows are made of
# the guest's lines of a kind, each with a key that guests of different suites share.
SUBJECTS: dict[ModuleType, tuple[str, list[str]]] = {
    misses: ("hot", [*SCENARIO, "rounds"]),
    loads: ("load_free", ["live", "bytes"]),
}


def shared(run: Run, other: Run) -> Run:
    """A run, with the lines only whose keys both have."""
    result = copy.copy(run)
    result.lines = run.lines
    for kind, key in SUBJECTS.values():
        keys = {tuple(line[name] for name in key) for line in other.said(kind)}
        result.lines = [
            line
            for line in result.lines
            if line["line"] != kind or tuple(line[name] for name in key) in keys
        ]
    return result


class Pairs:
    """Takes the place of Runs: one guest of a layout as stock, its twin as the module."""

    def __init__(self, pairs: list[tuple[Run, Run]]):
        self.pairs = pairs

    def layouts(self, purpose: str, _wanted: object = ()) -> dict[str, Run]:
        """Both guests of a purpose."""
        for one, other in self.pairs:
            if one.guest.purpose == purpose:
                return {"stock": shared(one, other), "near": shared(other, one)}
        return {}


def differences(runs: Runs) -> Iterator[Worse]:
    """Figures of which a guest has more than its twin, or the twin more."""
    twins = runs.twins()
    for layout in dict.fromkeys(one.guest.layout for one, _ in twins):
        pairs = [pair for pair in twins if pair[0].guest.layout == layout]
        for view in [Pairs(pairs), Pairs([(other, one) for one, other in pairs])]:
            for subject in SUBJECTS:
                yield from subject.worse(subject.rows(view))


def judged(runs: Runs, found: list[Worse]) -> list[Worse]:
    """The figures, each with what chance makes of it."""
    width: dict[tuple[str, str], float] = {}
    for one in differences(runs):
        key = (one.where, one.what)
        width[key] = max(width.get(key, 0), one.difference)
    return [
        Worse(one.where, one.what, one.stock, one.module, width.get((one.where, one.what)))
        for one in found
    ]
