# SPDX-License-Identifier: GPL-2.0
"""Counters of a real machine: the original workload under KVM on an arm64 host."""

import json

from runs import UNMODELLED, Bad
from tables import number, table

EVENTS = ["ITLB_WALK", "L1I_TLB", "INST_RETIRED", "L1I_TLB_REFILL"]
# Numerator and denominator: what the original reported, less its rate per second.
RATIOS = [("L1I_TLB_REFILL", "INST_RETIRED"), ("ITLB_WALK", "INST_RETIRED"), ("ITLB_WALK", "L1I_TLB")]
WHY_NOT = "this host is no arm64 machine with KVM"


def planned(plan):
    """The runs of the plan's lines: (name, layout)."""
    return [(fields[0], fields[1]) for fields in (line.split() for line in plan) if fields[3] == UNMODELLED]


def rows(directory, plan):
    """What each run counted: {layout: {event: [value or None, ...]}}; None if none was planned."""
    runs = planned(plan)
    if not runs:
        return None
    found = {}
    for name, layout in runs:
        lines = [json.loads(line) for line in (directory / f"{name}.guest").read_text().splitlines() if line.startswith("{")]
        counted = [line for line in lines if line["line"] == "events"]
        if len(counted) != 1 or lines[-1] != {"line": "end"}:
            raise Bad(f"{name}: the events were not counted")
        for event in EVENTS:
            found.setdefault(layout, {}).setdefault(event, []).append(counted[0][event])
    return found


def middle(values):
    """The median."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def spread(values, form):
    """Median and range, as text."""
    if any(value is None for value in values):
        return "this machine does not count it"
    return f"{form(middle(values))} ({form(min(values))}..{form(max(values))})"


def change(stock, ours):
    """The median's change."""
    if any(value is None for value in stock + ours) or not middle(stock):
        return ""
    return f"{100 * (middle(ours) / middle(stock) - 1):+.2f} %"


def ratios(events, over, under):
    """A ratio of each run, per 1000."""
    return [None if a is None or not b else 1000 * a / b for a, b in zip(events[over], events[under])]


def section(data):
    """Events and ratios, stock beside the module."""
    if not data:
        return ""
    stock, near = data["stock"], data["near"]
    body = [[event, spread(stock[event], lambda v: number(round(v))), spread(near[event], lambda v: number(round(v))),
             change(stock[event], near[event])] for event in EVENTS]
    for over, under in RATIOS:
        pair = [ratios(side, over, under) for side in (stock, near)]
        body.append([f"{over} per 1,000 {under}", *(spread(side, lambda v: f"{v:.6f}") for side in pair), change(*pair)])
    return (f"## Counters of this machine\n\nThe original workload beside the compiler, under KVM, stock and module in turn, {len(stock[EVENTS[0]])} runs each: "
            "median (smallest..largest) on all of the guest's CPUs, loading and attaching included. B against C: the published figures compare A with B.\n\n" +
            table(["", "stock (B)", "near (C)", "change"], body))
