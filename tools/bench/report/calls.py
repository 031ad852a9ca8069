# SPDX-License-Identifier: GPL-2.0
"""Calls between programs and the kernel's text."""

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError
from .text import SHORT, number, section as titled, table, tenths

LAYOUTS = ["stock", "far", "near"]
# The layouts that each purpose must have. A short plan has calls without KASLR of some only.
NEEDED = {"main": ["stock", "near"], "kaslr": LAYOUTS}
# Instructions of a call to getpid(): without a program at its entry, with one, and after it went.
STATES = ["without", "with", "after"]


def measured(run: Run) -> dict:
    """The costs of one run."""
    helpers = {}
    for line in run.said("calls"):
        region = run.region(line)
        bpf = region["class"]["bpf"]["insns"]
        if not bpf or bpf % line["runs"]:
            raise RunsError(f"{run.name}: {bpf} instructions of BPF in {line['runs']} runs")
        helpers[line["helpers"]] = {
            "length": line["length"],
            "bpf_insns": bpf // line["runs"],
            "insns": region["insns"] / line["runs"],
        }
    entry = {line["what"]: run.region(line)["insns"] / line["calls"] for line in run.said("entry")}
    if not helpers or set(entry) != set(STATES):
        raise RunsError(f"{run.name}: calls are missing")
    return {"helpers": helpers, "entry": entry}


def rows(runs: Runs) -> list[dict]:
    """Without and with KASLR: {"kaslr", "layouts": {layout: costs}}."""
    found = []
    for purpose, kaslr in [("main", False), ("kaslr", True)]:
        if guests := runs.layouts(purpose, NEEDED[purpose]):
            layouts = {layout: measured(guests[layout]) for layout in LAYOUTS if layout in guests}
            found.append({"kaslr": kaslr, "layouts": layouts})
    for row in found:
        kinds = {tuple(sorted(costs["helpers"])) for costs in row["layouts"].values()}
        if len(kinds) != 1:
            raise RunsError("calls: not the same in all layouts")
    if not found:
        raise RunsError("no calls")
    return found


def added(costs: dict) -> float:
    """Instructions that an empty program adds to a call of the function."""
    return costs["entry"]["with"] - costs["entry"]["without"]


def worse(found: list[dict]) -> list[Worse]:
    """Where the module (near) is longer or executes more than stock."""
    result = []
    for row in found:
        stock, near = row["layouts"]["stock"], row["layouts"]["near"]
        kaslr = "with KASLR" if row["kaslr"] else "without KASLR"
        for count in stock["helpers"]:
            for what, name in [
                ("length", "jited bytes"),
                ("bpf_insns", "BPF instructions of a run"),
            ]:
                pair = [side["helpers"][count][what] for side in (stock, near)]
                result += more(f"{count} calls of helpers, {kaslr}", name, *pair)
        # Less than half an instruction for each call is the background's.
        pair = [added(side) for side in (stock, near)]
        what = "instructions added to a call"
        result += more(f"empty fentry program, {kaslr}", what, *pair, slack=0.5)
    return result


def summary(found: list[dict]) -> list[str]:
    """Lines for the head of the report."""
    lines = []
    for row in found:
        if not row["kaslr"]:
            continue
        sides = [row["layouts"][layout] for layout in ("stock", "near")]
        parts = []
        for count in sides[0]["helpers"]:
            one = [side["helpers"][count] for side in sides]
            lengths, insns = (
                " → ".join(str(side[what]) for side in one) for what in ["length", "bpf_insns"]
            )
            parts.append(f"{count} calls: {lengths} B, {insns} instructions")
        entry = " → ".join(f"{added(side):.0f}" for side in sides)
        lines.append(
            f"* **Programs that call helpers**, with KASLR: {'; '.join(parts)}. An empty fentry "
            f"program adds {entry} instructions."
        )
    return lines


def section(found: list[dict]) -> str:
    """The section of the report."""
    body = []
    for row in found:
        kaslr = "with" if row["kaslr"] else "without"
        costs = [row["layouts"].get(layout) for layout in LAYOUTS]
        lines = []
        for count in row["layouts"]["stock"]["helpers"]:
            for what, name, form in [
                ("length", "jited bytes", number),
                ("bpf_insns", "BPF instructions of a run", number),
                ("insns", "all instructions of a run", tenths),
            ]:
                values = [cost and cost["helpers"][count][what] for cost in costs]
                lines.append((f"{count} calls of helpers", name, form, values))
        for name, get in [
            ("getpid()", lambda cost: cost["entry"]["without"]),
            ("added by an empty program at its entry", added),
            (
                "left of that once it is gone",
                lambda cost: cost["entry"]["after"] - cost["entry"]["without"],
            ),
        ]:
            lines.append(("fentry", name, tenths, [cost and get(cost) for cost in costs]))
        for what, name, form, values in lines:
            cells = ["" if value is None else form(value) for value in values]
            cells.append(form(values[2] - values[0]))
            body.append([kaslr, what, name, *cells])
    return titled(
        "## Calls between programs and the kernel",
        "Programs that call a helper that the JIT does not inline, run by BPF_PROG_TEST_RUN, and "
        "an empty fentry program on the getpid system call. A call within 128 MiB is one "
        "instruction, else four. Without KASLR the kernel's text happens to be near stock's pack, "
        "so there is nothing to gain; an ordinary boot is one with KASLR "
        "(`dtb-randomness=on`, one place of the kernel). Jited bytes and BPF instructions are "
        "exact; all instructions include the test run's own loop and are a mean of 1,000.",
        table(["KASLR", "", "", *(SHORT[layout] for layout in LAYOUTS), "near − stock"], body),
    )
