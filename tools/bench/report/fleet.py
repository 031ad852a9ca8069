# SPDX-License-Identifier: GPL-2.0
"""Many long-lived programs with short-lived ones among them.

More of their misses and walks are a part of the section about misses, which says where they are
more than stock's.
"""

from .compare import Worse, worse as more
from .runs import CLASSES, MAIN, Run, Runs, RunsError, model_figures
from .text import number, section as titled, table

LAYOUTS = ["stock", "near"]
TITLE = "## A fleet's programs"
FIGURES = {
    "irqs_off": "longest stretch of instructions with interrupts off",
    "insns": "guest instructions",
}
# When packs are counted.
PACKS_AT = {"loaded": "all loaded", "after": "after the short-lived ones"}


def packs(run: Run) -> dict:
    """Packs when all programs were loaded, and after the short-lived ones came and went."""
    seen = {(line["at"], line["who"]): line["packs"] for line in run.said("memory")}
    found = {at: sum(count for (when, _), count in seen.items() if when == at) for at in PACKS_AT}
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
            figures["models"] = model_figures(region)
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
    for at, text in PACKS_AT.items() if found else []:
        pair = [found["packs"][layout][at] for layout in LAYOUTS]
        result += more(f"a fleet's programs, {text}", "packs", *pair)
    return result


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    row = max(found["rows"], key=lambda row: row["hot"])
    stock, near = (row["layouts"][layout] for layout in LAYOUTS)
    shown = [what for what in stock["models"] if what.startswith("bpf ")]
    shown += [f"{cls} misses, {MAIN}" for cls in CLASSES if cls != "bpf"]
    figures = {what: [side["models"][what] for side in (stock, near)] for what in shown}
    figures["instructions with interrupts off"] = [stock["irqs_off"], near["irqs_off"]]
    figures["packs"] = [found["packs"][layout]["after"] for layout in LAYOUTS]
    parts = [f"{what} {' → '.join(map(number, pair))}" for what, pair in figures.items()]
    return [
        f"* **A fleet's programs**: {name_of(row)}, {number(row['hot'])} of them hot: "
        f"{'; '.join(parts)}; synchronisations {number(near['synchronisations'])} "
        "(stock: one for each load and each free)."
    ]


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
        for what in stock["models"]:
            pair = [side["models"][what] for side in (stock, near)]
            line = [name_of(row), number(row["hot"]), what, *map(number, pair)]
            body.append([*line, number(pair[1] - pair[0])])
        line = [name_of(row), number(row["hot"]), "synchronisations", "not counted"]
        body.append([*line, number(near["synchronisations"]), ""])
    for at, text in PACKS_AT.items():
        stock, near = (found["packs"][layout][at] for layout in LAYOUTS)
        body.append([text, "", "packs", stock, near, number(near - stock)])
    return titled(
        TITLE,
        "Programs of the realistic mix are loaded while short-lived ones come and go; then some of "
        "them, taken evenly, run in rounds, and before each round short-lived programs are loaded "
        "and others freed: socket filters that see one packet, one in sixteen a process with a "
        "seccomp filter, one in 32 an iterator over the kernel's maps. Misses and walks without "
        'them stand above ("fleet"). One CPU: the synchronisations are the module\'s own count '
        "(the stock kernel makes one for each load and each free). Packs: "
        "those of the module, and stock's, which has one from before insmod.",
        table(["", "hot", "", "stock", "module (near)", "difference"], body),
    )
