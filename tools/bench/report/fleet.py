# SPDX-License-Identifier: GPL-2.0
"""Many long-lived programs with short-lived ones among them.

Their misses and walks are a part of the section about misses.
"""

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError
from .text import number, section as titled, table

LAYOUTS = ["stock", "near"]
TITLE = "## A fleet's programs"
FIGURES = {
    "irqs_off": "longest stretch of instructions with interrupts off",
    "insns": "guest instructions",
}


def packs(run: Run) -> dict:
    """Packs when all programs were loaded, and after the short-lived ones came and went."""
    seen = {(line["at"], line["who"]): line["packs"] for line in run.said("memory")}
    found = {
        at: sum(count for (when, _), count in seen.items() if when == at)
        for at in ["loaded", "after"]
    }
    if not all(found.values()):
        raise RunsError(f"{run.name}: packs were not counted")
    return found


def rows(runs: Runs) -> dict | None:
    """Each scenario with short-lived programs; None where the plan has none."""
    found: dict[int, dict] = {}
    guests = runs.layouts("fleet", LAYOUTS)
    for layout, run in guests.items():
        hot = {line["region"]: line for line in run.said("hot")}
        if not run.said("churn"):
            raise RunsError(f"{run.name}: no short-lived programs")
        for line in run.said("churn"):
            region, scenario = run.region(line), hot[line["region"]]
            row = {what: scenario[what] for what in ["live", "hot", "rounds"]}
            row = found.setdefault(line["region"], row | {"programs": line["programs"]})
            figures = {"irqs_off": region["irqs_off_longest"], "insns": region["insns"]}
            figures["synchronisations"] = line["synchronisations"]
            row.setdefault("layouts", {})[layout] = figures
    if any(set(row["layouts"]) != set(LAYOUTS) for row in found.values()):
        raise RunsError("short-lived programs: not the same scenarios in all layouts")
    packs_of = {layout: packs(run) for layout, run in guests.items()}
    return {"rows": list(found.values()), "packs": packs_of} if found else None


def name_of(row: dict) -> str:
    """A scenario in words."""
    return f"{number(row['programs'])} short-lived programs among {number(row['live'])}"


def worse(found: dict | None) -> list[Worse]:
    """Where the module has more."""
    result = []
    for row in found["rows"] if found else []:
        for what, text in FIGURES.items():
            pair = [row["layouts"][layout][what] for layout in LAYOUTS]
            where = f"{name_of(row)}, {number(row['hot'])} hot"
            result += more(where, f"{text}, with short-lived programs", *pair)
    return result


def summary(_found: dict | None) -> list[str]:
    """No line: its misses are among the others."""
    return []


def section(found: dict | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, "Not run: only in the full run.")
    body = []
    for row in found["rows"]:
        stock, near = (row["layouts"][layout] for layout in LAYOUTS)
        for what, text in FIGURES.items():
            difference = number(near[what] - stock[what])
            line = [name_of(row), number(row["hot"]), text, number(stock[what])]
            body.append([*line, number(near[what]), difference])
        line = [name_of(row), number(row["hot"]), "synchronisations", "not counted"]
        body.append([*line, number(near["synchronisations"]), ""])
    for at, text in [("loaded", "all loaded"), ("after", "after the short-lived ones")]:
        stock, near = (found["packs"][layout][at] for layout in LAYOUTS)
        body.append([text, "", "packs", stock, near, number(near - stock)])
    return titled(
        TITLE,
        "Programs of the realistic mix are loaded while short-lived ones come and go; then some of "
        "them, taken evenly, run in rounds, and before each round short-lived programs are loaded "
        "and others freed: socket filters that see one packet, and one in sixteen a process with a "
        'seccomp filter. Misses and walks stand above ("fleet"). One CPU: the synchronisations are '
        "the module's own count (the stock kernel makes one for each load and each free). Packs: "
        "those of the module, and stock's, which has one from before insmod.",
        table(["", "hot", "", "stock", "module (near)", "difference"], body),
    )
