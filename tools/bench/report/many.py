# SPDX-License-Identifier: GPL-2.0
"""Very many programs through bpf(2): what loads cost beside few and many of them, and packs.

The misses of some of them are a part of the section about misses.
"""

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError, counts, spread
from .text import both, mib, number, section as titled, table

LAYOUTS = ["stock", "near"]
TITLE = "## 100,000 programs"
ONLY_FULL = "Not run: only in the full run."
FIGURES = {
    "insns": "guest instructions of a load",
    "irqs_off": "longest stretch of instructions with interrupts off in a load",
}
# Loads that are measured in a row.
IN_A_ROW = 4


def loads(run: Run) -> dict[int, dict]:
    """The smallest and the largest of each figure, by the number of programs before the first."""
    found: dict[int, dict] = {}
    before = first = None
    for line in run.said("many"):
        if before is None or line["beside"] != before + 1:
            first = line["beside"]
        before = line["beside"]
        region = run.region(line)
        figures = {"insns": counts(region)["insns"], "irqs_off": region["irqs_off_longest"]}
        for what, value in figures.items():
            found.setdefault(first, {}).setdefault(what, []).append(value)
    if any(len(figures["insns"]) != IN_A_ROW for figures in found.values()):
        raise RunsError(f"{run.name}: loads of many programs are missing")
    return {
        beside: {what: spread(values) for what, values in figures.items()}
        for beside, figures in found.items()
    }


def rows(runs: Runs) -> dict | None:
    """Loads and memory of each layout; None where the plan has no such guests."""
    guests = runs.layouts("many", LAYOUTS)
    if not guests:
        return None
    found = {"live": 0, "bytes": 0, "layouts": {}}
    besides = []
    for layout, run in guests.items():
        lines = [line for line in run.said("loaded") if line["mix"] == "many"]
        memory = [line for line in run.said("memory") if line["at"] == "loaded"]
        if len(lines) != 1 or not memory or not run.said("many"):
            raise RunsError(f"{run.name}: no loads of many programs")
        found |= {"live": lines[0]["live"], "bytes": lines[0]["bytes"]}
        found["layouts"][layout] = {
            "loads": loads(run),
            "packs": sum(line["packs"] for line in memory),
            "reserved": sum(line["bytes"] for line in memory),
        }
        besides.append(set(found["layouts"][layout]["loads"]))
    if besides[0] != besides[1]:
        raise RunsError("loads of many programs: not the same in all layouts")
    return found


def name_of(found: dict) -> str:
    """Which programs."""
    return f"{number(found['live'])} programs of 256 B"


def worse(found: dict | None) -> list[Worse]:
    """Where the module has more."""
    if not found:
        return []
    stock, near = (found["layouts"][layout] for layout in LAYOUTS)
    result = []
    for beside in stock["loads"]:
        for what, text in FIGURES.items():
            # The smallest has no timer tick in it.
            pair = [side["loads"][beside][what][0] for side in (stock, near)]
            result += more(f"beside {number(beside)} programs of 256 B", f"{text}, at least", *pair)
    for what, text in [("packs", "packs"), ("reserved", "bytes reserved")]:
        result += more(name_of(found), text, stock[what], near[what])
    return result


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    stock, near = (found["layouts"][layout] for layout in LAYOUTS)
    parts = [
        f"beside {number(beside)}: "
        + " → ".join(number(side["loads"][beside]["insns"][0]) for side in (stock, near))
        for beside in stock["loads"]
    ]
    return [
        f"* **{name_of(found)}**: packs {stock['packs']} → {near['packs']}; instructions of a "
        f"load, at least, {'; '.join(parts)}."
    ]


def section(found: dict | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, ONLY_FULL)
    stock, near = (found["layouts"][layout] for layout in LAYOUTS)
    body = []
    for beside in stock["loads"]:
        for what, text in FIGURES.items():
            sides = [side["loads"][beside][what] for side in (stock, near)]
            difference = number(sides[1][0] - sides[0][0])
            body.append([number(beside), text, *map(both, sides), difference])
    for what, text, form in [("packs", "packs", number), ("reserved", "memory of packs", mib)]:
        pair = [side[what] for side in (stock, near)]
        body.append([number(found["live"]), text, *map(form, pair), form(pair[1] - pair[0])])
    return titled(
        TITLE,
        f"Programs of 256 jited bytes, {number(found['bytes'])} in all, are loaded by bpf(2) and "
        "stay. Loads beside so many others: four in a row, each a region, smallest..largest; the "
        "difference is that of the smallest. The verifier is most of a load. Packs: all of them; "
        'with the module one is stock\'s, from before insmod. Misses stand above ("many").',
        table(["live", "", "stock", "module (near)", "difference"], body),
    )
