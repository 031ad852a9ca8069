# SPDX-License-Identifier: GPL-2.0
"""The original workload beside a compiler at work."""

from .compare import Worse, worse as more
from .runs import CLASSES, MAIN, Run, Runs, RunsError
from .text import SHORT, change, number, section as titled, table

LAYOUTS = ["page", "stock", "far", "near"]
COUNTS = ["misses", "walks"]
# Of the covers of versions 1 to 9 of "bpf, arm64: use BPF prog pack allocator in BPF JIT" and the
# README of BPF-Allocator-Bench: a page per program, packs of 4 KiB pages.
PUBLISHED = {
    "ITLB_WALK": (333278635, 190333544),
    "L1I_TLB": (6762692976558, 6712712386528),
    "INST_RETIRED": (25359571423901, 25278233304411),
    "iTLB-load-misses": (15824054789, 5716757866),
    "seconds": (189.03, 185.39),
}


def per_thousand(count: float, insns: float) -> float:
    """A count for each 1,000 instructions."""
    return 1000 * count / insns


def measured(run: Run) -> dict:
    """What one run counted while the compiler worked."""
    lines = run.said("compiler")
    if len(lines) != 1:
        raise RunsError(f"{run.name}: {len(lines)} lines about the compiler")
    line, region = lines[0], run.region(lines[0])
    if not line["rounds"] or not region["class"]["bpf"]["insns"]:
        raise RunsError(f"{run.name}: no program ran beside the compiler")
    models = {}
    for model in region["models"]:
        classes = {
            cls: {what: counted[what] for what in COUNTS} for cls, counted in model["class"].items()
        }
        every = {what: sum(counted[what] for counted in classes.values()) for what in COUNTS}
        models[model["model"]] = classes | {"all": every}
    wanted = ["processes", "rounds", "hot_pages", "lengths"]
    return {what: line[what] for what in wanted} | {
        "objects": {found["file"]: found["sha256"] for found in run.said("object")},
        "insns": region["insns"],
        "lookups": sum(cls["lookups"] for cls in region["class"].values()),
        "class_insns": {cls: region["class"][cls]["insns"] for cls in CLASSES},
        "models": models,
    }


def rows(runs: Runs) -> dict | None:
    """The layouts' counts, or None where the plan has no compiler."""
    by_layout = runs.layouts("compiler", LAYOUTS)
    found = {layout: measured(by_layout[layout]) for layout in LAYOUTS if by_layout}
    for layout, row in found.items():
        # Other work would be no comparison.
        same = all(row[what] == found["stock"][what] for what in ["objects", "processes"])
        if not row["objects"] or not same:
            raise RunsError(f"{layout}: the compiler did something else than with stock")
    return found or None


def worse(found: dict | None) -> list[Worse]:
    """More misses or walks of the module (near) beside the compiler."""
    if not found:
        return []
    stock, near = found["stock"]["models"], found["near"]["models"]
    result = []
    for model in stock:
        for cls in CLASSES:
            for what in COUNTS:
                pair = [side[model][cls][what] for side in (stock, near)]
                result += more(
                    "original workload beside a compiler", f"{cls} {what}, {model}", *pair
                )
    return result


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []

    def chain(what: str, cls: str) -> str:
        sides = [found[layout]["models"][MAIN] for layout in ["page", "stock", "near"]]
        return " → ".join(number(side[cls][what]) for side in sides)

    parts = [f"{what} {chain(what, 'all')}, of BPF {chain(what, 'bpf')}" for what in COUNTS]
    return [
        "* **The original workload beside a compiler**, page each → stock → module: "
        f"{'; '.join(parts)}."
    ]


def figures(row: dict) -> dict:
    """The original's figures of one layout, of the main model: {name: value}."""
    everything = row["models"][MAIN]["all"]
    return {
        "ITLB_WALK": everything["walks"],
        "L1I_TLB": row["lookups"],
        "INST_RETIRED": row["insns"],
        "iTLB-load-misses": everything["misses"],
        "per second": per_thousand(everything["misses"], row["insns"]),
        "per 1000": per_thousand(everything["walks"], row["insns"]),
    }


def published() -> dict:
    """The published figures: {name: (before, after)}."""

    def ratio(over: str, under: str, times: int = 1) -> tuple[float, ...]:
        return tuple(times * PUBLISHED[over][i] / PUBLISHED[under][i] for i in range(2))

    return PUBLISHED | {
        "per second": ratio("iTLB-load-misses", "seconds"),
        "per 1000": ratio("ITLB_WALK", "INST_RETIRED", 1000),
        "per access": ratio("ITLB_WALK", "L1I_TLB"),
    }


# What the model has in the place of each figure.
INSTEAD = {
    "ITLB_WALK": "ITLB_WALK: walks",
    "L1I_TLB": "L1I_TLB: the model's page changes, *not this event*",
    "INST_RETIRED": "INST_RETIRED: instructions",
    "iTLB-load-misses": "iTLB-load-misses: misses of the first level",
    "per second": "refills per second: here misses per 1,000 instructions, as there is no time",
    "per 1000": "ITLB_WALK per 1,000 INST_RETIRED: walks per 1,000 instructions",
    "per access": "ITLB_WALK / L1I_TLB: the model counts no accesses",
}


def shown(name: str, value: float) -> str:
    """A count with commas, a ratio with its digits."""
    if name == "per access":
        return f"{value:.4e}"
    return number(value) if isinstance(value, int) else f"{value:.6f}"


def original_table(found: dict) -> str:
    """The original's table, with what the model has in the place of each event."""
    ours, theirs = {layout: figures(row) for layout, row in found.items()}, published()
    body = []
    for name, title in INSTEAD.items():
        before, after = theirs[name]
        if name == "per access":
            cells = ["none"] * 7
        else:
            a, b, far, near = (ours[layout][name] for layout in LAYOUTS)
            cells = [shown(name, a), shown(name, b), change(a, b), shown(name, far)]
            cells += [change(b, far), shown(name, near), change(b, near)]
        text = [
            f"{value:,.0f}" if name == "per second" else shown(name, value)
            for value in (before, after)
        ]
        body.append([title, *cells, *text, change(before, after)])
    head = ["", "A", "B", "A → B", "C far", "B → C far", "C near", "B → C near"]
    head += ["published A", "published, packs of 4 KiB pages", "published change"]
    return table(head, body)


def classes_table(found: dict) -> str:
    """Misses and walks by class, under each model."""
    body = []
    for model in found["stock"]["models"]:
        for cls in CLASSES:
            for what in COUNTS:
                a, b, far, near = (found[layout]["models"][model][cls][what] for layout in LAYOUTS)
                counted = [number(value) for value in (a, b, far, near)]
                body.append([model, cls, what, *counted, change(a, b), change(b, near)])
    layouts = [SHORT[layout] for layout in LAYOUTS]
    return table(["geometry", "class", "", *layouts, "A → B", "B → C near"], body)


def work_table(found: dict) -> str:
    """How much each layout executed."""
    body = []
    for layout, row in found.items():
        insns = [number(row["insns"]), *(number(row["class_insns"][cls]) for cls in CLASSES)]
        lengths = "/".join(map(str, row["lengths"]))
        body.append([SHORT[layout], row["rounds"], row["hot_pages"], *insns, lengths])
    head = ["layout", "rounds", "hot pages", "instructions", "of BPF", "of the kernel"]
    return table([*head, "of user programs", "jited bytes"], body)


def section(found: dict | None) -> str:
    """The section of the report."""
    title = "### Beside a compiler"
    if not found:
        return titled(title, "Not run.")
    processes = found["stock"]["processes"]
    files = ", ".join(name.removesuffix(".o") + ".c" for name in found["stock"]["objects"])
    return titled(
        title,
        f"{processes} processes have attached their eight programs each; one process makes the "
        "five system calls over and over while gcc 14 compiles files of dtc "
        f"({files}; -O2). Everything on the CPU counts. The region begins and ends with the "
        "compiler. Its work is the same in all layouts (the objects are equal to the byte); that "
        "of the calls is not: the scheduler shares one CPU between both, so the number of rounds "
        "depends on what a round takes. The original built Python 3.8.4 on 32 CPUs, with "
        f"{processes} processes in that loop; on one CPU more of them would only leave less of it "
        "to the compiler. All classes together, as the original counted. ITLB_WALK and "
        "iTLB-load-misses stand for the model's walks and first-level misses.",
        "The published change is that of a page per program against packs of 4 KiB pages (A with "
        "B), on hardware under KVM. **It is not comparable with the model's, and no figure here "
        "reproduces or improves it.** Stock has had packs since 6.9: only B → C is the module's. "
        f"{MAIN}:",
        original_table(found),
        work_table(found),
        classes_table(found),
    )
