# SPDX-License-Identifier: GPL-2.0
"""What the figures depend on, what is published elsewhere, and what was not run."""

import plan

from .runs import Runs
from .text import number, section as titled

LIMITS = (
    "Misses and walks of a model with stated geometry, driven by instruction fetches of an "
    "emulated guest. No speculation, prefetch, walk cache, micro-architecture or time. Misses are "
    "not cycles. No arm64 hardware was measured."
)
# What the full plan leaves out, and why.
LEFT_OUT = {
    "the layouts far, base, c64 and page beyond the short suite": (
        "the full plan must take less than an hour, and no goal needs these figures"
    ),
    "8 CPUs": "a machine with two cores gives them too little at a time",
    "a second run of more than one guest": (
        "one guest that repeats to the byte shows that guests do"
    ),
    "loads and frees by bpf(2) beside 10,000 live ones": "direct calls beside 10,000 are measured",
    "misses of 10,000 programs of 256 B": "those of 10,000 of real sizes are measured",
    "10,000 large programs": "too much work for the verifier under emulation: 1,000 were run",
}
ONLY_FULL = "only in the full run"
TWINS = "twins: other guests of one layout, which show what differs by chance"
OLDER = "this run is older than that part of the plan"
# The commands of the plans.
COMMANDS = {"quick": "make bench-quick", "full": "make bench"}


def lines_of(runs: Runs) -> list[str]:
    """The lines that scripts/bench and boot.py wrote."""
    return (runs.directory / "environment").read_text().splitlines()


def rows(runs: Runs) -> dict:
    """What the figures depend on."""
    return {
        "lines": lines_of(runs),
        "geometries": runs.layouts("main")["stock"].header["models"],
        "repeated": runs.repeated,
        "guests": {
            run.name: {
                "purpose": run.guest.purpose,
                "layout": run.guest.layout,
                "instructions_counted": run.total.get("insns"),
                "hits_checked": checked(run.total, "stale_checked"),
                "walks_checked": checked(run.total, "walks_checked"),
            }
            for run in runs.all
        },
    }


def checked(total: dict, what: str) -> int:
    """How many checks of a kind all models of a run made."""
    return sum(model[what] for model in total.get("models", []))


def line_of(found: dict, name: str) -> str:
    """The value of a line."""
    for line in found["lines"]:
        if line.startswith(f"{name}: "):
            return line.removeprefix(f"{name}: ")
    raise LookupError(f"no line {name} in the environment")


def origin(found: dict) -> str:
    """The command that measured, the kernel and the module's revision."""
    kernel = line_of(found, "kernel").split(",")[0]
    revision = line_of(found, "module").rsplit(" ", 1)[1]
    command = COMMANDS[line_of(found, "plan")]
    return f"Figures of `{command}`, kernel {kernel}, module of revision {revision}"


def geometry(model: dict) -> str:
    """A geometry in words."""
    seed = f", seed {model['seed']}" if "seed" in model else ""
    return (
        f"* geometry `{model['model']}`: first level {model['l1_entries']} entries, fully "
        f"associative, sizes {model['l1_sizes']}; second level {model['l2_sets']} sets of "
        f"{model['l2_ways']}; {model['policy']}{seed}"
    )


def section(found: dict) -> str:
    """The section of the report."""
    hits, walks = (
        number(sum(guest[what] for guest in found["guests"].values()))
        for what in ["hits_checked", "walks_checked"]
    )
    lines = [f"* {line}" for line in found["lines"]]
    lines += [f"* layout `{name}`: {text}" for name, text in plan.LAYOUTS.items()]
    lines += [geometry(model) for model in found["geometries"]]
    lines += [
        "* sources of the geometries: Arm 100616 (Neoverse N1 TRM), Arm 102375 (Neoverse V2 TRM; "
        "the effective instruction half); `small` is made up. Arm documents no replacement "
        "policy; both are the model's choices.",
        f"* run twice, identical to the byte: {', '.join(found['repeated'])}",
        f"* hits compared with QEMU's translation: {hits}, stale: 0; walks compared: {walks}, "
        "wrong: 0",
        "* the model begins to count when a guest has booted; in guests that show a fleet, large "
        "programs or tools, when all programs are loaded",
        "* the model's own known answers: `tools/tlb-model/known-answers.sh`",
    ]
    return titled("## Environment", "\n".join(lines))


def published() -> str:
    """The published figures, and why not to compare."""
    return titled(
        "## Published figures",
        "BPF-Allocator-Bench on arm64 hardware under KVM published −63.16 % refills per second "
        "(iTLB-load-misses) and −42.71 % walks per 1,000 instructions. They compare a page per "
        "program with packs of 4 KiB pages (A with B), on hardware, with another workload: they "
        "are not comparable with the model's figures, and no figure here reproduces or improves "
        "them. Stock has had packs since 6.9.",
    )


def not_run(runs: Runs) -> list[tuple[str, str]]:
    """What the plan leaves out of the full one, and what that leaves out: (what, why)."""
    have = {run.guest.purpose for run in runs.all}
    full = plan.guests(full=True, hardware=False)
    purposes = dict.fromkeys(guest.purpose for guest in full)
    # What the plans have today and an older run has not.
    quick = {guest.purpose for guest in plan.guests(full=False, hardware=False)}
    missing = [
        (plan.PURPOSES[one], OLDER if one in quick else ONLY_FULL)
        for one in purposes
        if one not in have
    ]
    for what, text in [
        ("suite", lambda suite: plan.SUITES[suite][1]),
        ("layout", lambda layout: f"the layout {layout}"),
        ("cpus", lambda cpus: f"{cpus} CPUs"),
    ]:
        ours = {(run.guest.purpose, getattr(run.guest, what)) for run in runs.all}
        planned = {(guest.purpose, getattr(guest, what)) for guest in full}
        more = {one for purpose, one in planned - ours if purpose in have}
        missing += [(text(one), ONLY_FULL) for one in sorted(more)]
    ours = set(runs.layouts("main")["stock"].models)
    if other := [one for one in plan.geometries(full=True) if one not in ours]:
        short = line_of({"lines": lines_of(runs)}, "plan") == "quick"
        missing += [(f"geometries {', '.join(other)}", ONLY_FULL)] if short else []
    if not runs.twins():
        quick_plan = line_of({"lines": lines_of(runs)}, "plan") == "quick"
        missing.append((TWINS, ONLY_FULL if quick_plan else OLDER))
    if "hardware" not in have:
        missing.append((plan.PURPOSES["hardware"], "this host is no arm64 machine with KVM"))
    return missing + list(LEFT_OUT.items())
