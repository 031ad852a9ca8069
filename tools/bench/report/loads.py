# SPDX-License-Identifier: GPL-2.0
"""What loading and freeing programs costs."""

from collections.abc import Iterator

from .compare import Figure, Worse, all_worse
from .runs import COSTS, Run, Runs, RunsError, counts, less_idle, spreads
from .text import SHORT, both, in_order, number, section as titled, table

# The purposes of guests that load and free, and how the report calls them.
TITLES = {"main": "", "newer_cpu": "-cpu max"}
# More of these is named; the others follow from them.
NAMED = ["insns", "tlbi", "ic_ivau", "isb"]
# Nanoseconds by which virtual time may differ from the counted instructions.
CLOCK_SLACK = 500


def check_clock(run: Run, line: dict, cost: dict) -> None:
    """Virtual time counts instructions on one CPU: the two counters must agree."""
    if run.guest.cpus == 1 and abs(cost["insns"] - line["ns"]) > CLOCK_SLACK:
        raise RunsError(
            f"{run.name}: a load of {cost['insns']} instructions took {line['ns']} ns of "
            "virtual time"
        )


def costs(run: Run) -> dict:
    """Costs in one run: {(live, bytes): {"first", "load", "loads", "frees"}}."""
    found: dict[tuple, dict] = {}
    loads: dict[tuple, list] = {}
    lines = [(line, counts(run.region(line))) for line in run.said("load_free")]
    for index, (line, cost) in enumerate(lines):
        key = (line["live"], line["bytes"])
        entry = found.setdefault(key, {"first": None, "frees": {}})
        if line["what"] == "first":
            entry["first"] = cost
        elif line["what"] == "load":
            check_clock(run, line, cost)
            loads.setdefault(key, []).append(cost)
        elif line["what"] == "free":
            (before, idle), (after, later) = lines[index - 1], lines[index + 1]
            if (before["what"], after["what"]) != ("idle", "idle"):
                raise RunsError(f"{run.name}: a window with frees is not between two without")
            entry["frees"][line["count"]] = less_idle(cost, idle, later)
    for key, entry in found.items():
        entry |= {"load": spreads(loads[key]), "loads": len(loads[key])}
    return found


def rows_of(by_layout: dict[str, Run]) -> list[dict]:
    """A row for each number of live images and size."""
    by_layout_costs = {layout: costs(run) for layout, run in by_layout.items()}
    found = []
    for live, size in by_layout_costs["stock"]:
        for layout, seen in by_layout_costs.items():
            if (live, size) not in seen:
                raise RunsError(f"{layout}: no costs for {size} bytes beside {live}")
        layouts = {layout: seen[live, size] for layout, seen in by_layout_costs.items()}
        found.append({"live": live, "bytes": size, "layouts": layouts})
    if not found:
        raise RunsError("no costs")
    return found


def rows(runs: Runs) -> dict:
    """The rows of each purpose."""
    by_purpose = {purpose: runs.layouts(purpose, ["stock", "near"]) for purpose in TITLES}
    found = {purpose: rows_of(by_layout) for purpose, by_layout in by_purpose.items() if by_layout}
    if "main" not in found:
        raise RunsError("no costs")
    return found


def figures(found: dict) -> Iterator[Figure]:
    """Costs of stock and of the module (near). Less than the background's change says nothing."""
    for purpose, title in TITLES.items():
        for row in found.get(purpose, []):
            where = f"{row['bytes']} B beside {row['live']} live" + (f", {title}" if title else "")
            stock, near = row["layouts"]["stock"], row["layouts"]["near"]
            for what in NAMED:
                name = COSTS[what]
                pair = [side["load"][what][1] for side in (stock, near)]
                yield Figure(where, f"{name} of a load, at most", *pair)
                for times in stock["frees"]:
                    cells = [side["frees"][times] for side in (stock, near)]
                    slack = sum(cell["insns_uncertain"] for cell in cells) if what == "insns" else 0
                    pair = [cell[what] for cell in cells]
                    yield Figure(where, f"{name} of freeing {times}", *pair, slack)
                if stock["first"] and not row["live"]:
                    pair = [side["first"][what] for side in (stock, near)]
                    yield Figure(where, f"{name} of the first load", *pair)


def worse(found: dict) -> list[Worse]:
    """Where the module costs more."""
    return all_worse(figures(found))


def free(cell: dict, times: int, what: str) -> str:
    """A free's count; instructions with the change of the background's work around it."""
    one = cell["frees"][times]
    if what != "insns":
        return number(one[what])
    return f"{one[what]:,.0f} ± {one['insns_uncertain']:,.0f}"


def summary(found: dict) -> list[str]:
    """Lines for the head of the report."""
    small = {row["live"]: row["layouts"] for row in found["main"] if row["bytes"] == 256}
    lines = []
    for what in ["load", "free"]:
        parts = []
        for live in sorted(small)[:2]:
            stock, near = small[live]["stock"], small[live]["near"]
            cells = []
            for name, key in [("instructions", "insns"), ("TLBI", "tlbi"), ("IC IVAU", "ic_ivau")]:
                if what == "free":
                    pair = [free(side, 1, key) for side in (stock, near)]
                elif key == "insns":
                    # The smallest has no timer tick in it.
                    name += ", at least,"
                    pair = [number(side["load"][key][0]) for side in (stock, near)]
                else:
                    pair = [both(side["load"][key]) for side in (stock, near)]
                cells.append(f"{name} {' → '.join(pair)}")
            parts.append(f"beside {live:,} live: {', '.join(cells)}")
        lines.append(f"* **A {what}** of 256 B {'; '.join(parts)}.")
    return lines


def tables(rows_: list[dict]) -> list[str]:
    """A table for each count."""
    layouts = in_order(rows_[0]["layouts"])
    parts = []
    for what, name in COSTS.items():
        body = []
        for row in rows_:
            cells = {layout: row["layouts"][layout] for layout in layouts}
            pair = [cells[layout]["load"][what][0] for layout in ("stock", "near")]
            line = [number(row["live"]), number(row["bytes"]), "load"]
            line += [both(cell["load"][what]) for cell in cells.values()]
            body.append([*line, number(pair[1] - pair[0])])
            for times in sorted(cells["stock"]["frees"]):
                pair = [cells[layout]["frees"][times][what] for layout in ("stock", "near")]
                line = ["", "", f"free {times}"]
                line += [free(cell, times, what) for cell in cells.values()]
                body.append([*line, f"{pair[1] - pair[0]:,.0f}"])
        head = ["live", "bytes", "", *(SHORT[layout] for layout in layouts), "near − stock"]
        parts.append(titled(f"#### {name[0].upper()}{name[1:]}", table(head, body)))
    return parts


def first_table(row: dict) -> str:
    """The first load of all."""
    body = []
    for layout in in_order(row["layouts"]):
        cost = row["layouts"][layout]["first"]
        body.append([SHORT[layout], *(number(cost[what]) for what in ["insns", "tlbi", "ic_ivau"])])
    return table(["layout", "instructions", "TLBI", "IC IVAU"], body)


def section(found: dict) -> str:
    """The section of the report."""
    parts = [
        titled(
            "## What loading and freeing costs",
            "A load is one BPF_PROG_LOAD (the verifier and the JIT are most of it) of a program of "
            "that jited size, four in a row: smallest..largest, exact; the difference is that of "
            "the smallest, which have no timer tick in them. Frees are deferred. A free is a "
            "window of 2.5 s that begins with closing one or several programs, less the mean of "
            "the windows before and after it, in which nothing is closed; ± is half the "
            "difference of these two. The module's own periodic work is in its windows.",
        )
    ]
    for purpose, title in TITLES.items():
        if purpose in found:
            parts += [f"### {title}\n"] if title else []
            parts += tables(found[purpose])
    parts.append(
        titled(
            "### The first load",
            "Of 256 B with nothing live: the module made its first pack at insmod.",
            first_table(found["main"][0]),
        )
    )
    return "\n".join(parts)
