# SPDX-License-Identifier: GPL-2.0
"""The tools of libbpf-tools, all at the same time, beside a workload that their programs see.

More of their misses and walks are a part of the section about misses, which says where they are
more than stock's.
"""

from .compare import Worse, worse as more
from .runs import CLASSES, MAIN, Run, Runs, RunsError, model_figures
from .text import both, mib, number, section as titled, table

LAYOUTS = ["stock", "near"]
TITLE = "## The tools of libbpf-tools"
# What the guest's lines call the scenarios.
MIX = "libbpf-tools"
ONLY_FULL = "Not run: only in the full run."
COUNTS = {
    "tools": "tools",
    "programs": "programs",
    "functions": "functions of programs",
    "bytes": "jited bytes of these",
    "trampolines": "trampolines",
    "ran": "programs that ran",
    "runs": "their runs",
}
MEMORY = {"packs": "packs reserved", "reserved": "bytes reserved"}
# What must be the same in all layouts.
ALIKE = ["tools", "quiet", "programs", "functions", "trampolines"]


def measured(run: Run) -> dict:
    """The figures of one guest."""
    lines = run.said("tools")
    scenarios = [line for line in run.said("hot") if line["mix"] == MIX]
    warm = [line for line in scenarios if line["temperature"] == "warm"]
    memory = [line for line in run.said("memory") if line["at"] == "loaded"]
    if len(lines) != 1 or len(warm) != 1 or not memory:
        raise RunsError(f"{run.name}: the tools are missing")
    if not lines[0]["runs"]:
        raise RunsError(f"{run.name}: no program of a tool ran")
    region = run.region(warm[0])
    return {
        **{what: lines[0][what] for what in [*COUNTS, "quiet"]},
        "rounds": warm[0]["rounds"],
        "packs": sum(line["packs"] for line in memory),
        "reserved": sum(line["bytes"] for line in memory),
        "insns": region["insns"],
        "models": model_figures(region),
    }


def rows(runs: Runs) -> dict | None:
    """The figures of each layout; None where the plan has no such guests."""
    guests = runs.layouts("tools", LAYOUTS)
    if not guests:
        return None
    found = {layout: measured(guests[layout]) for layout in LAYOUTS}
    for what in ALIKE:
        if found["stock"][what] != found["near"][what]:
            raise RunsError(f"the tools: not the same {what} in all layouts")
    return found


def worse(found: dict | None) -> list[Worse]:
    """Where the module reserves more."""
    if not found:
        return []
    stock, near = (found[layout] for layout in LAYOUTS)
    where = f"{number(stock['programs'])} programs of libbpf-tools"
    return [
        one for what, text in MEMORY.items() for one in more(where, text, stock[what], near[what])
    ]


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    stock, near = (found[layout] for layout in LAYOUTS)
    shown = [what for what in stock["models"] if what.startswith("bpf ")]
    shown += [f"{cls} misses, {MAIN}" for cls in CLASSES if cls != "bpf"]
    figures = {what: [side["models"][what] for side in (stock, near)] for what in shown}
    figures |= {"packs": [side["packs"] for side in (stock, near)]}
    parts = [f"{what} {' → '.join(map(number, pair))}" for what, pair in figures.items()]
    ran = both(sorted([stock["ran"], near["ran"]]))
    return [
        f"* **{stock['tools']} tools of libbpf-tools**, {stock['programs']} programs, of which "
        f"{ran} ran; warm, {stock['rounds']} rounds: {'; '.join(parts)}."
    ]


def section(found: dict | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, ONLY_FULL)
    stock, near = (found[layout] for layout in LAYOUTS)
    quiet = ", ".join(stock["quiet"])
    pairs = {text: [side[what] for side in (stock, near)] for what, text in COUNTS.items()}
    body = [[text, *map(number, pair), number(pair[1] - pair[0])] for text, pair in pairs.items()]
    for what, text, form in [("packs", "packs", number), ("reserved", "memory of packs", mib)]:
        pair = [side[what] for side in (stock, near)]
        body.append([text, *map(form, pair), form(pair[1] - pair[0])])
    figures = {"guest instructions": [stock["insns"], near["insns"]]}
    figures |= {what: [side["models"][what] for side in (stock, near)] for what in stock["models"]}
    for what, pair in figures.items():
        body.append([f"{what}, warm", *map(number, pair), number(pair[1] - pair[0])])
    return titled(
        TITLE,
        "The distribution's tools are started one after another and stay, each with the arguments "
        "of `tools.sh`. When a tool has "
        "attached its programs and waits, its process is stopped: the kernel runs the programs, "
        "while the tool reads and prints nothing, and what its programs record fills its maps and "
        "buffers. Then the workload: files that are made, written, renamed and removed, a process "
        "that executes a program, a TCP connection and a UDP packet over loopback, a signal, a "
        "futex, memory that is mapped, a pipe; "
        f"{stock['rounds']} rounds after one that is not counted. Programs that ran: in as many "
        "more rounds, as the kernel counts them; there is no disk, and nobody mounts, so that "
        "others do not. The four temperatures follow one another, with ever fuller buffers. Of "
        "the class bpf are programs and trampolines; the hot pages of the scenarios are those of "
        "the programs that ran, without trampolines. A trampoline is taken to end at the next "
        "image, or after 4 KiB: the kernel tells no length of it. With KASLR, at one place of the "
        "kernel, the same for both. Packs: all of them; with the module one is stock's, from "
        'before insmod. Other temperatures stand above ("libbpf-tools").',
        f"Tools that ended by themselves, or had no program here: {quiet or 'none'}.",
        table(["", "stock", "module (near)", "difference"], body),
    )
