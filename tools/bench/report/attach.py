# SPDX-License-Identifier: GPL-2.0
"""Programs at the entry of many functions: a trampoline for each."""

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError
from .text import mib, number, section as titled, table, tenths

LAYOUTS = ["stock", "near"]
TITLE = "## Programs at the entry of many functions"
# Instructions of a call to getpid(): without any program, with programs at other functions, and
# with one at its own entry, too.
STATES = ["without", "others", "with"]
ONLY_FULL = "Not run: only in the full run."


def reserved(run: Run, at: str, what: str) -> int:
    """Packs or bytes at some time, whoever has them."""
    seen = {line["who"]: line[what] for line in run.said("memory") if line["at"] == at}
    if not seen or (run.guest.layout != "stock" and "module" not in seen):
        raise RunsError(f"{run.name}: no memory ({at})")
    return sum(seen.values())


def measured(run: Run) -> dict:
    """The figures of one guest."""
    lines = run.said("attached")
    calls = {line["what"]: line for line in run.said("attached_call")}
    if len(lines) != 1 or set(calls) != set(STATES):
        raise RunsError(f"{run.name}: attachments are missing")
    line = lines[0]
    if line["trampolines"] < line["functions"]:
        raise RunsError(
            f"{run.name}: {line['functions']} functions, {line['trampolines']} trampolines"
        )
    region = run.region(line)
    return {
        "functions": line["functions"],
        "direct": line["direct"],
        "calls": {what: run.region(call)["insns"] / call["calls"] for what, call in calls.items()},
        # The region has all but the one at getpid().
        "insns": region["insns"] / (line["functions"] - 1),
        "irqs_off": region["irqs_off_longest"],
        "memory": {
            what: [reserved(run, at, what) for at in ["before_attach", "attached"]]
            for what in ["packs", "bytes"]
        },
    }


def rows(runs: Runs) -> dict | None:
    """The figures of each layout; None where the plan has no such guests."""
    guests = runs.layouts("attach", LAYOUTS)
    if not guests:
        return None
    found = {layout: measured(guests[layout]) for layout in LAYOUTS}
    if len({side["functions"] for side in found.values()}) != 1:
        raise RunsError("programs at functions: not as many in all layouts")
    return found


def added(side: dict) -> float:
    """Instructions that the program at getpid() adds to a call, beside all others."""
    return side["calls"]["with"] - side["calls"]["others"]


def name_of(found: dict) -> str:
    """What was attached."""
    return f"{number(found['stock']['functions'])} functions with an empty program"


def worse(found: dict | None) -> list[Worse]:
    """Where the module is worse."""
    if not found:
        return []
    stock, near = (found[layout] for layout in LAYOUTS)
    where, result = name_of(found), []
    indirect = [side["functions"] - side["direct"] for side in (stock, near)]
    result += more(where, "trampolines that are not reached directly", *indirect)
    # Less than half an instruction for each call is the background's.
    result += more(where, "instructions added to a call", added(stock), added(near), slack=0.5)
    result += more(
        where, "guest instructions to load and attach one", stock["insns"], near["insns"]
    )
    what = "longest stretch of instructions with interrupts off, attaching"
    result += more(where, what, stock["irqs_off"], near["irqs_off"])
    for what in ["packs", "bytes"]:
        pair = [side["memory"][what][1] for side in (stock, near)]
        result += more(where, f"{what} reserved while attached", *pair)
    return result


def direct_share(side: dict) -> float:
    """How many trampolines are reached directly, in percent."""
    return 100 * side["direct"] / side["functions"]


def share(side: dict) -> str:
    """The same in words."""
    return f"{direct_share(side):g} %"


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    pairs = {
        "reached directly": share,
        "instructions added to a call": lambda side: f"{added(side):.0f}",
        "packs": lambda side: number(side["memory"]["packs"][1]),
    }
    parts = [
        f"{name}: {' → '.join(form(found[layout]) for layout in LAYOUTS)}"
        for name, form in pairs.items()
    ]
    return [
        f"* **Attached to {number(found['stock']['functions'])} functions**, with KASLR: "
        f"{'; '.join(parts)}."
    ]


def section(found: dict | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, ONLY_FULL)
    stock, near = (found[layout] for layout in LAYOUTS)
    figures = [
        ("functions", lambda side: number(side["functions"])),
        ("trampolines that are reached directly", lambda side: number(side["direct"])),
        ("the share of them", share),
        ("getpid() without any program", lambda side: tenths(side["calls"]["without"])),
        (
            "added by the programs at other functions",
            lambda side: tenths(side["calls"]["others"] - side["calls"]["without"]),
        ),
        ("added by the empty program at its entry", lambda side: tenths(added(side))),
        ("instructions to load and attach one", lambda side: number(round(side["insns"]))),
        (
            "longest stretch of instructions with interrupts off meanwhile",
            lambda side: number(side["irqs_off"]),
        ),
        ("packs before", lambda side: number(side["memory"]["packs"][0])),
        ("packs while attached", lambda side: number(side["memory"]["packs"][1])),
        ("bytes reserved before", lambda side: mib(side["memory"]["bytes"][0])),
        ("bytes reserved while attached", lambda side: mib(side["memory"]["bytes"][1])),
    ]
    return titled(
        TITLE,
        "On arm64 each function with a program has a trampoline of its own. Programs that return "
        "at once are attached by bpf(2) to functions that nothing calls in these guests (of ACPI "
        "and SELinux, in the order of the kernel's type information), and one to the getpid "
        "system call. A trampoline is reached directly if the call that the kernel patched into "
        "the function leads to it, as read from the kernel's text; else the call leads to "
        "ftrace's own trampoline, which looks up where to go. With KASLR, at one place of the "
        "kernel, the same for both. Calls are a mean of 1,000. Packs: all of them; with the "
        "module one is stock's, from before insmod.",
        table(
            ["", "stock", "module (near)"],
            [[name, form(stock), form(near)] for name, form in figures],
        ),
    )
