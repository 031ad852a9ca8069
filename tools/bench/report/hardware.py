# SPDX-License-Identifier: GPL-2.0
"""Counters of a real machine: the original workload under KVM on an arm64 host."""

import statistics
from collections.abc import Callable, Sequence

from .compare import Worse, worse as more
from .runs import Runs, RunsError
from .text import change, number, section as titled, table

LAYOUTS = ["stock", "near"]
EVENTS = ["ITLB_WALK", "L1I_TLB", "INST_RETIRED", "L1I_TLB_REFILL"]
# Numerator and denominator: what the original reported, less its rate per second.
RATIOS = [
    ("L1I_TLB_REFILL", "INST_RETIRED"),
    ("ITLB_WALK", "INST_RETIRED"),
    ("ITLB_WALK", "L1I_TLB"),
]


def rows(runs: Runs) -> dict | None:
    """What each run counted: {layout: {event: [value or None, ...]}}; None if none was planned."""
    found: dict[str, dict] = {}
    for run in runs.of("hardware"):
        lines = run.said("events")
        if len(lines) != 1:
            raise RunsError(f"{run.name}: the events were not counted")
        for event in EVENTS:
            events = found.setdefault(run.guest.layout, {})
            events.setdefault(event, []).append(lines[0][event])
    if found and set(found) != set(LAYOUTS):
        raise RunsError(f"the events were counted only with {', '.join(found)}")
    return found or None


def worse(found: dict | None) -> list[Worse]:
    """Where each run of the module has more than any of stock."""
    result = []
    for event in EVENTS if found else []:
        sides = [found[layout][event] for layout in LAYOUTS]
        if None not in sides[0] + sides[1] and min(sides[1]) > max(sides[0]):
            medians = map(statistics.median, sides)
            result += more("original workload on this machine", f"{event}, median", *medians)
    return result


def summary(_found: dict | None) -> list[str]:
    """No line: the head is about the model."""
    return []


def middle(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """Median and range, as text."""
    if None in values:
        return "this machine does not count it"
    return f"{form(statistics.median(values))} ({form(min(values))}..{form(max(values))})"


def ratios(events: dict, over: str, under: str) -> list[float | None]:
    """A ratio of each run, per 1,000."""
    pairs = zip(events[over], events[under], strict=True)
    return [None if a is None or not b else 1000 * a / b for a, b in pairs]


def section(found: dict | None) -> str:
    """Events and ratios, stock beside the module."""
    title = "## Counters of a real machine"
    if not found:
        return titled(title, "Not run: this host is no arm64 machine with KVM.")
    stock, near = (found[layout] for layout in LAYOUTS)
    body = []

    def line(name: str, sides: list[list], form: Callable[[float], str]) -> None:
        known = None not in sides[0] + sides[1]
        difference = change(*map(statistics.median, sides)) if known else ""
        body.append([name, *(middle(side, form) for side in sides), difference])

    for event in EVENTS:
        line(event, [stock[event], near[event]], lambda value: number(round(value)))
    for over, under in RATIOS:
        pair = [ratios(side, over, under) for side in (stock, near)]
        line(f"{over} per 1,000 {under}", pair, lambda value: f"{value:.6f}")
    return titled(
        title,
        "The original workload beside the compiler, under KVM, stock and module in turn, "
        f"{len(stock[EVENTS[0]])} runs each: median (smallest..largest) on all of the guest's "
        "CPUs, loading and attaching included. B against C: the published figures compare A "
        "with B.",
        table(["", "stock (B)", "near (C)", "change"], body),
    )
