# SPDX-License-Identifier: GPL-2.0
"""Function-call interrupts between CPUs, which run in parallel and do not repeat."""

from . import direct, loads
from .compare import Worse, worse as more
from .runs import Runs, RunsError, spread
from .text import both, number, section as titled, table

LAYOUTS = ["stock", "near"]


def load_rows(runs: Runs) -> list[dict]:
    """Interrupts of each load and of each window with frees."""
    seen: dict[tuple, dict] = {}
    for run in runs.of("parallel"):
        for (live, size), entry in loads.costs(run).items():
            row = seen.setdefault((run.guest.cpus, live, size), {})
            cell = row.setdefault(run.guest.layout, {})
            cell.setdefault("a load", []).extend(entry["load"]["call_sgi"])
            for times, free in entry["frees"].items():
                cell.setdefault(f"freeing {times}", []).append(free["call_sgi"])
    found = []
    for (cpus, live, size), layouts in sorted(seen.items()):
        for what in layouts["stock"]:
            counts = {layout: spread(layouts[layout][what]) for layout in LAYOUTS}
            row = {"cpus": cpus, "live": live, "bytes": size, "what": what, "layouts": counts}
            found.append(row)
    return found


def call_rows(runs: Runs) -> list[dict]:
    """Interrupts of each direct call."""
    seen: dict[tuple, dict] = {}
    for run in runs.of("parallel"):
        for way, (layout, via, _) in direct.WAYS.items():
            if layout != run.guest.layout:
                continue
            for (live, _, size), calls in direct.calls_of([run], via).items():
                for call, figures in calls.items():
                    row = seen.setdefault((run.guest.cpus, live, size, call), {})
                    row.setdefault(way, []).extend(figures["call_sgi"])
    found = []
    for (cpus, live, size, call), ways in sorted(seen.items()):
        if len(ways) != len(direct.WAYS):
            raise RunsError(f"{cpus} CPUs, {size} B: no interrupts of {call} counted for some way")
        counts = {way: spread(ways[way]) for way in direct.WAYS}
        found.append({"cpus": cpus, "live": live, "bytes": size, "call": call, "ways": counts})
    return found


def rows(runs: Runs) -> dict | None:
    """Loads and direct calls, or None where the plan has no guest with several CPUs."""
    if not runs.of("parallel"):
        return None
    layouts = [run.guest.layout for run in runs.of("parallel")]
    turns = {layout: layouts.count(layout) for layout in LAYOUTS}
    if len(set(turns.values())) != 1:
        raise RunsError(f"guests with several CPUs: not the same number for each layout: {turns}")
    return {"guests": turns["stock"], "loads": load_rows(runs), "calls": call_rows(runs)}


def worse(found: dict | None) -> list[Worse]:
    """Where the module causes more of them."""
    result = []
    for row in found["loads"] if found else []:
        where = f"{row['bytes']} B beside {row['live']} live, {row['cpus']} CPUs"
        pair = [row["layouts"][layout][1] for layout in LAYOUTS]
        result += more(where, f"function-call SGI of {row['what']}, at most", *pair)
    for row in found["calls"] if found else []:
        where = f"{row['bytes']} B, direct call beside {row['live']} live, {row['cpus']} CPUs"
        pair = [row["ways"][way][1] for way in ("stock", "hooks")]
        result += more(where, f"function-call SGI of a direct {row['call']}, at most", *pair)
    return result


def summary(_found: dict | None) -> list[str]:
    """No line: few figures, which do not repeat."""
    return []


def section(found: dict | None) -> str:
    """The section of the report."""
    title = "## Function-call interrupts (SGI 1), several CPUs in parallel"
    if not found:
        return titled(title, "Not run: the plan had no guest with several CPUs.")
    load_body = [
        [row["cpus"], row["live"], row["bytes"], row["what"]]
        + [both(row["layouts"][layout]) for layout in LAYOUTS]
        for row in found["loads"]
    ]
    call_body = [
        [row["cpus"], row["live"], number(row["bytes"]), row["call"]]
        + [both(row["ways"][way]) for way in direct.WAYS]
        for row in found["calls"]
    ]
    return titled(
        title,
        "Smallest..largest of all loads, of all windows with frees, of all direct calls, of all "
        f"runs ({found['guests']} guests with each layout). Does not repeat.",
        table(["CPUs", "live", "bytes", "", "stock", "module (near)"], load_body),
        table(["CPUs", "live", "bytes", "direct call", *direct.TITLES], call_body),
    )
