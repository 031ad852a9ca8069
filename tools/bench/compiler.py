# SPDX-License-Identifier: GPL-2.0
"""The original workload beside a compiler at work: rows and their section of the report."""

from runs import MAIN, Bad
from tables import SHORT, number, table

LAYOUTS = ["page", "stock", "far", "near"]
CLASSES = ["bpf", "kernel", "user"]
# Of the covers of versions 1 to 9 of "bpf, arm64: use BPF prog pack allocator in BPF JIT" and the
# README of BPF-Allocator-Bench: a page per program, packs of 4 KiB pages.
PUBLISHED = {
    "ITLB_WALK": (333278635, 190333544),
    "L1I_TLB": (6762692976558, 6712712386528),
    "INST_RETIRED": (25359571423901, 25278233304411),
    "iTLB-load-misses": (15824054789, 5716757866),
    "seconds": (189.03, 185.39),
}


def per_thousand(count, insns):
    """A count for each 1000 instructions."""
    return 1000 * count / insns


def measured(run):
    """What one run counted while the compiler worked; None if it did not."""
    lines = run.said("compiler")
    if not lines:
        return None
    if len(lines) != 1:
        raise Bad(f"{run.name}: {len(lines)} lines about the compiler")
    line, region = lines[0], run.region(lines[0])
    if not line["rounds"] or not region["class"]["bpf"]["insns"]:
        raise Bad(f"{run.name}: no program ran beside the compiler")
    models = {}
    for model in region["models"]:
        classes = {cls: {what: model["class"][cls][what] for what in ["misses", "walks"]} for cls in model["class"]}
        models[model["model"]] = dict(classes, all={
            what: sum(counts[what] for counts in classes.values()) for what in ["misses", "walks"]})
    return {
        "processes": line["processes"], "rounds": line["rounds"], "hot_pages": line["hot_pages"], "lengths": line["lengths"],
        "objects": {found["file"]: found["sha256"] for found in run.said("object")},
        "insns": region["insns"], "lookups": sum(cls["lookups"] for cls in region["class"].values()),
        "class_insns": {cls: region["class"][cls]["insns"] for cls in CLASSES}, "models": models,
    }


def rows(runs):
    """The layouts' counts, or None where the plan has no compiler."""
    found = {}
    for layout in LAYOUTS:
        name = f"{layout}-compiler"
        if name not in runs:
            continue
        found[layout] = measured(runs[name])
        if found[layout] is None:
            raise Bad(f"{name}: nothing about the compiler")
    if not found:
        return None
    if set(found) != set(LAYOUTS):
        raise Bad(f"beside the compiler: only {', '.join(found)}")
    first = found["stock"]
    for layout, row in found.items():
        # The same work, or it is no comparison.
        if not row["objects"] or row["objects"] != first["objects"] or row["processes"] != first["processes"]:
            raise Bad(f"{layout}: the compiler did something else than with stock")
    return found


def worse(found):
    """Where the module (near) has more misses or walks than stock beside the compiler."""
    if not found:
        return []
    stock, near = found["stock"]["models"], found["near"]["models"]
    return [("original workload beside a compiler", f"{cls} {what}, {model}", stock[model][cls][what], near[model][cls][what])
            for model in stock for cls in CLASSES for what in ["misses", "walks"]
            if near[model][cls][what] > stock[model][cls][what]]


def change(before, after):
    """A change in percent of what it was."""
    return f"{100 * (after - before) / before:+.2f} %" if before else "from 0"


def figures(row):
    """The original's figures of one layout, of the main model: {name: value}."""
    everything = row["models"][MAIN]["all"]
    return {
        "ITLB_WALK": everything["walks"], "iTLB-load-misses": everything["misses"], "INST_RETIRED": row["insns"],
        "L1I_TLB": row["lookups"],
        "per second": per_thousand(everything["misses"], row["insns"]),
        "per 1000": per_thousand(everything["walks"], row["insns"]),
    }


def published():
    """The published figures: {name: (before, after)}."""
    ratios = {
        "per second": tuple(PUBLISHED["iTLB-load-misses"][i] / PUBLISHED["seconds"][i] for i in range(2)),
        "per 1000": tuple(per_thousand(PUBLISHED["ITLB_WALK"][i], PUBLISHED["INST_RETIRED"][i]) for i in range(2)),
        "per access": tuple(PUBLISHED["ITLB_WALK"][i] / PUBLISHED["L1I_TLB"][i] for i in range(2)),
    }
    return dict(PUBLISHED, **ratios)


def shown(value):
    """A count with commas, a ratio with its digits."""
    return number(value) if isinstance(value, int) else f"{value:.6f}"


def original_table(found):
    """The original's table, with what the model has in the place of each event."""
    ours, theirs = {layout: figures(row) for layout, row in found.items()}, published()
    body = []
    for name, title in [
            ("ITLB_WALK", "ITLB_WALK: walks"), ("L1I_TLB", "L1I_TLB: the model's page changes, *not this event*"),
            ("INST_RETIRED", "INST_RETIRED: instructions"), ("iTLB-load-misses", "iTLB-load-misses: misses of the first level"),
            ("per second", "refills per second: here misses per 1,000 instructions, there is no time"),
            ("per 1000", "ITLB_WALK per 1,000 INST_RETIRED: walks per 1,000 instructions"),
            ("per access", "ITLB_WALK / L1I_TLB: the model counts no accesses")]:
        before, after = theirs[name]
        if name == "per access":
            cells = ["none"] * 7
            text = [f"{before:.4e}", f"{after:.4e}"]
        else:
            a, b, far, near = (ours[layout][name] for layout in LAYOUTS)
            cells = [shown(a), shown(b), change(a, b), shown(far), change(b, far), shown(near), change(b, near)]
            text = [f"{value:,.0f}" if name == "per second" else shown(value) for value in (before, after)]
        body.append([title] + cells + text + [change(before, after)])
    return table(["", "A", "B", "A → B", "C far", "B → C far", "C near", "B → C near", "published A", "published, packs of 4 KiB pages", "published change"], body)


def classes_table(found):
    """Misses and walks by class, under each model."""
    body = []
    for model in found["stock"]["models"]:
        for cls in CLASSES:
            for what in ["misses", "walks"]:
                a, b, far, near = (found[layout]["models"][model][cls][what] for layout in LAYOUTS)
                body.append([model, cls, what] + [number(value) for value in (a, b, far, near)] + [change(a, b), change(b, near)])
    return table(["geometry", "class", ""] + [SHORT[layout] for layout in LAYOUTS] + ["A → B", "B → C near"], body)


def summary(data):
    """Lines for the head of the report."""
    if not data["compiler"]:
        return []
    parts = []
    for what in ["misses", "walks"]:
        counts = [data["compiler"][layout]["models"][MAIN] for layout in ["page", "stock", "near"]]
        parts.append(f"{what} {' → '.join(number(count['all'][what]) for count in counts)}, of BPF {' → '.join(number(count['bpf'][what]) for count in counts)}")
    return [f"* **The original workload beside a compiler**, page each → stock → module: {'; '.join(parts)}."]


def section(data):
    """The section of the report."""
    head = "### Beside a compiler\n\n"
    found = data["compiler"]
    if not found:
        return head + "Not run.\n"
    body = [[SHORT[layout], row["rounds"], row["hot_pages"], number(row["insns"])] + [number(row["class_insns"][cls]) for cls in CLASSES] +
            ["/".join(map(str, row["lengths"]))] for layout, row in found.items()]
    processes = found["stock"]["processes"]
    files = ", ".join(name.removesuffix(".o") + ".c" for name in found["stock"]["objects"])
    return (head + f"{processes} processes have attached their eight programs each; one process makes the five system calls over and over while gcc 14 "
            f"compiles files of dtc ({files}; -O2). Everything on the CPU counts. The region begins and ends with the compiler: its work is the same in all layouts "
            "(the objects are equal to the byte), that of the calls is not: the scheduler shares one CPU between both, so how many rounds there are depends on what "
            f"a round takes. The original built Python 3.8.4 on 32 CPUs, with {processes} processes in that loop; on one CPU more of them would only leave less of it to the compiler. "
            "All classes together, as the original counted. ITLB_WALK and iTLB-load-misses stand for the model's walks and first-level misses.\n\n"
            "The published change is that of a page per program against packs of 4 KiB pages (A with B), on hardware under KVM. **It is not comparable with the model's, and "
            f"no figure here reproduces or improves it.** Stock has had packs since 6.9: only B → C is the module's. {MAIN}:\n\n" +
            original_table(found) + "\n" +
            table(["layout", "rounds", "hot pages", "instructions", "of BPF", "of the kernel", "of user programs", "jited bytes"], body) + "\n" + classes_table(found))
