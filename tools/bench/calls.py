# SPDX-License-Identifier: GPL-2.0
"""Calls between programs and the kernel's text: rows and their section of the report."""

from runs import Bad
from tables import SHORT, number, table

LAYOUTS = ["stock", "far", "near"]


def measured(run):
    """The costs of one run."""
    helpers, entry = {}, {}
    for line in run.said("calls"):
        region = run.region(line)
        bpf = region["class"]["bpf"]["insns"]
        if not bpf or bpf % line["runs"]:
            raise Bad(f"{run.name}: {bpf} instructions of BPF in {line['runs']} runs")
        helpers[line["helpers"]] = {"length": line["length"], "bpf_insns": bpf // line["runs"], "insns": region["insns"] / line["runs"]}
    for line in run.said("entry"):
        entry[line["what"]] = run.region(line)["insns"] / line["calls"]
    if not helpers or set(entry) != {"without", "with", "after"}:
        raise Bad(f"{run.name}: calls are missing")
    return {"helpers": helpers, "entry": entry}


def rows(runs):
    """[{kaslr, layouts: {layout: costs}}]"""
    found = []
    for kaslr, suffix in [(False, ""), (True, "-kaslr")]:
        names = {layout: layout + suffix for layout in LAYOUTS if layout + suffix in runs}
        if names:
            found.append({"kaslr": kaslr, "layouts": {layout: measured(runs[name]) for layout, name in names.items()}})
    for row in found:
        counts = [sorted(costs["helpers"]) for costs in row["layouts"].values()]
        if len(row["layouts"]) != len(LAYOUTS) or counts.count(counts[0]) != len(counts):
            raise Bad("calls: not the same in all layouts")
    if not found:
        raise Bad("no calls")
    return found


def added(costs):
    """Instructions that an empty program adds to a call of the function."""
    return costs["entry"]["with"] - costs["entry"]["without"]


def worse(found):
    """Where the module (near) is longer or executes more than stock."""
    result = []
    for row in found:
        stock, near = row["layouts"]["stock"], row["layouts"]["near"]
        where = "with KASLR" if row["kaslr"] else "without KASLR"
        for count in stock["helpers"]:
            for what, name in [("length", "jited bytes"), ("bpf_insns", "BPF instructions of a run")]:
                if near["helpers"][count][what] > stock["helpers"][count][what]:
                    result.append((f"{count} calls of helpers, {where}", name, stock["helpers"][count][what], near["helpers"][count][what]))
        # Less than half an instruction for each call is the background's.
        if added(near) > added(stock) + 0.5:
            result.append((f"empty fentry program, {where}", "instructions added to a call", added(stock), added(near)))
    return result


def summary(data):
    """Lines for the head of the report."""
    lines = []
    for row in data["calls"]:
        if row["kaslr"]:
            stock, near = row["layouts"]["stock"], row["layouts"]["near"]
            parts = [f"{count} calls: {stock['helpers'][count]['length']} → {near['helpers'][count]['length']} B, "
                     f"{stock['helpers'][count]['bpf_insns']} → {near['helpers'][count]['bpf_insns']} instructions" for count in stock["helpers"]]
            lines.append(f"* **Programs that call helpers**, with KASLR: {'; '.join(parts)}. An empty fentry program adds {added(stock):.0f} → {added(near):.0f} instructions.")
    return lines


def tenths(value):
    """With one digit, and no minus before a zero."""
    return f"{round(value, 1) + 0.0:,.1f}"


def section(data):
    """The section of the report."""
    body = []
    for row in data["calls"]:
        layouts, kaslr = row["layouts"], "with" if row["kaslr"] else "without"
        for count in layouts["stock"]["helpers"]:
            for what, name, form in [("length", "jited bytes", number), ("bpf_insns", "BPF instructions of a run", number),
                                     ("insns", "all instructions of a run", tenths)]:
                values = [layouts[layout]["helpers"][count][what] for layout in LAYOUTS]
                body.append([kaslr, f"{count} calls of helpers", name] + [form(value) for value in values] + [form(values[2] - values[0])])
        for name, values in [("getpid()", [layouts[layout]["entry"]["without"] for layout in LAYOUTS]),
                             ("added by an empty program at its entry", [added(layouts[layout]) for layout in LAYOUTS]),
                             ("left of that once it is gone", [layouts[layout]["entry"]["after"] - layouts[layout]["entry"]["without"] for layout in LAYOUTS])]:
            body.append([kaslr, "fentry", name] + [tenths(value) for value in values] + [tenths(values[2] - values[0])])
    return ("## Calls between programs and the kernel\n\nPrograms with so many calls of a helper that the JIT does not do itself, run by BPF_PROG_TEST_RUN, and an empty fentry "
            "program on the getpid system call. A call within 128 MiB is one instruction, else four. Without KASLR the kernel's text happens to be near stock's pack, "
            "so that nothing is to be gained; an ordinary boot is one with KASLR (`dtb-randomness=on`, one place of the kernel). Jited bytes and BPF instructions are exact; "
            "all instructions hold the test run's own loop and are a mean of 1,000.\n\n" +
            table(["KASLR", "", ""] + [SHORT[layout] for layout in LAYOUTS] + ["near − stock"], body))
