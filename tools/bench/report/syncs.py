# SPDX-License-Identifier: GPL-2.0
"""Synchronisations of all CPUs by loads and by frees, counted by the guest's kernel."""

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError, spread
from .text import both, number, section as titled, table

LAYOUTS = ["stock", "near"]
# The most that there may be for each load and each free.
GOALS = {"load": 1, "free": 0.001}


def outside(run: Run, line: dict) -> float:
    """Synchronisations that the other CPUs noticed: one is a call on each CPU but the caller's."""
    seen = line["calls"] / (line["cpus"] - 1)
    if run.guest.layout != "stock" and line["inside"] is None:
        raise RunsError(f"{run.name}: no count by the module itself")
    # The module may be in the middle of one. The kernel makes some of its own.
    if line["inside"] is not None and seen < line["inside"] - 1:
        raise RunsError(
            f"{run.name}: the module counted {line['inside']} synchronisations, the other CPUs "
            f"noticed {seen:g}"
        )
    if run.guest.layout == "stock" and not seen:
        raise RunsError(f"{run.name}: the other CPUs noticed no synchronisation at all")
    return round(seen, 1) if seen % 1 else int(seen)


def rows(runs: Runs) -> list[dict]:
    """A row for each kind of loads and frees, with the smallest and the largest of all guests."""
    seen: dict[tuple, dict] = {}
    for run in runs.of("syncs"):
        for line in run.said("syncs"):
            key = tuple(line[what] for what in ["what", "functions", "times", "from", "cpus"])
            cell = seen.setdefault(key, {}).setdefault(run.guest.layout, {})
            figures = {"outside": outside(run, line), "inside": line["inside"]}
            figures |= {what: line[what] for what in ["interrupts", "other_calls", "seconds"]}
            for what, value in figures.items():
                cell.setdefault(what, []).append(value)
    found = []
    for (what, functions, times, cpu_count, cpus), layouts in seen.items():
        have = {layout: len(cell["outside"]) for layout, cell in layouts.items()}
        if set(have) != set(LAYOUTS) or len(set(have.values())) != 1:
            raise RunsError(f"synchronisations of a {what}: not in the same guests: {have}")
        spreads = {
            layout: {
                name: None if None in values else spread(values)
                for name, values in layouts[layout].items()
            }
            for layout in LAYOUTS
        }
        row = {"what": what, "functions": functions, "times": times, "from": cpu_count}
        found.append(row | {"cpus": cpus, "guests": have["stock"], "layouts": spreads})
    if {row["what"] for row in found} != set(GOALS):
        raise RunsError("synchronisations of loads or of frees were not counted")
    return found


def name_of(row: dict) -> str:
    """What a row is about."""
    if row["what"] == "free":
        return f"{number(row['times'])} socket filters freed at once"
    functions = "one function" if row["functions"] == 1 else f"{row['functions']} functions"
    at_once = "" if row["from"] == 1 else f", from {row['from']} CPUs at once"
    return f"{number(row['times'])} loads of {functions}{at_once}"


def worse(found: list[dict]) -> list[Worse]:
    """Where the module causes more of them."""
    result = []
    for row in found:
        stock, near = (row["layouts"][layout] for layout in LAYOUTS)
        where = f"{name_of(row)}, {row['cpus']} CPUs"
        pair = [side["outside"][1] for side in (stock, near)]
        result += more(where, "synchronisations of all CPUs, at most", *pair)
        # Less than the other interrupts of this kind says nothing.
        slack = sum(side["other_calls"][1] for side in (stock, near))
        pair = [side["interrupts"][1] for side in (stock, near)]
        result += more(where, "function-call interrupts of all CPUs, at most", *pair, slack)
    return result


def each(row: dict, layout: str) -> list[float]:
    """Synchronisations of one load or free: the smallest and the largest."""
    counted = row["layouts"][layout]["outside"]
    return [count / row["times"] for count in counted]


def value(one: float) -> str:
    """Up to four digits after the point."""
    return f"{one:,.4f}".rstrip("0").rstrip(".")


def values(pair: list[float]) -> str:
    """A smallest and a largest, or one number where they are the same."""
    return "..".join(dict.fromkeys(map(value, pair)))


def is_met(row: dict) -> bool:
    """Whether the module has no more of them than the goal."""
    return each(row, "near")[1] <= GOALS[row["what"]]


def summary(found: list[dict]) -> list[str]:
    """Lines for the head of the report."""
    parts = []
    for row in found:
        if row["what"] == "free" or row["functions"] > 1 or row["from"] > 1:
            pair = " → ".join(values(each(row, layout)) for layout in LAYOUTS)
            missed = "" if is_met(row) else f" (goal {value(GOALS[row['what']])}: missed)"
            parts.append(f"{name_of(row)} {pair}{missed}")
    return [f"* **Synchronisations of all CPUs** for each load or free: {'; '.join(parts)}."]


def section(found: list[dict]) -> str:
    """The section of the report."""
    body, counted = [], []
    for row in found:
        stock, near = (row["layouts"][layout] for layout in LAYOUTS)
        line = [name_of(row), value(GOALS[row["what"]])]
        line += [values(each(row, layout)) for layout in LAYOUTS]
        body.append([*line, "yes" if is_met(row) else "**no**"])
        line = [name_of(row), both(stock["outside"]), both(near["outside"]), both(near["inside"])]
        line += [
            both(side[what]) for what in ["interrupts", "other_calls"] for side in (stock, near)
        ]
        counted.append(line)
    storm = next(row for row in found if row["what"] == "free")
    lasted = both(storm["layouts"]["near"]["seconds"])
    return titled(
        "## Synchronisations of all CPUs",
        "Counted from the outside: the kernel traces each function that one CPU runs for another "
        "(`csd_function_entry`). A synchronisation is one call on each CPU but the caller's, of "
        "`kick_all_cpus_sync()`'s function or of the module's; the module's own counter stands "
        "beside it. Function-call interrupts are those of all CPUs in /proc/interrupts: more than "
        "calls where the kernel wakes CPUs, fewer where calls share one. Guests with "
        f"{storm['cpus']} CPUs, {storm['guests']} with each layout: smallest..largest. Loads from "
        "several CPUs at once share by chance: this does not repeat. The module synchronises "
        "about once a second while anything is freed, so fewer if the frees take less time: here "
        f"{lasted} s of the guest's clock, which says nothing about hardware.",
        table(["for each load or free", "goal, at most", "stock", "module (near)", "met"], body),
        table(
            [
                "all of them",
                "stock",
                "module (near)",
                "by its own count",
                "interrupts, stock",
                "interrupts, module",
                "other calls, stock",
                "other calls, module",
            ],
            counted,
        ),
    )
