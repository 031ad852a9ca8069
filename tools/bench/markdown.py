# SPDX-License-Identifier: GPL-2.0
"""The benchmark's report as Markdown."""

import calls
import compiler
import direct
import figures as bench
import hardware
from tables import ORDER, SHORT, both, number, table


def mib(count):
    """Bytes as MiB."""
    return f"{count / 2**20:g} MiB"


def total_bytes(row, layout):
    """Bytes reserved, whoever holds them."""
    return sum(who["bytes"] for who in row["layouts"][layout].values())


def pick(rows, **wanted):
    """The row that has these members."""
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise LookupError(f"no row {wanted}")


def summary(data):
    """The first ten lines."""
    worst = max((row for row in data["hot"] if row["temperature"] == "warm"), key=lambda row: bench.misses(row, "stock"))
    left = [row for row in data["hot"] if row["temperature"] == "warm" and bench.misses(row, "near")]
    warm = [row for row in data["hot"] if row["temperature"] == "warm"]
    fits, grows = bench.threshold(data, "spread")
    dense_fits, dense_grows = bench.threshold(data, "dense")
    small, live = pick(data["life"], live=0, bytes=256), pick(data["life"], live=1000, bytes=256)
    memory = pick(data["memory"], mix="realistic", live=1000)

    def edge(row):
        if row is None:
            return "none measured"
        stock = row["layouts"]["stock"]
        return (f"{row['hot']} programs on {stock['hot_pages']} pages "
                f"({bench.misses(row, 'stock') / row['rounds']:.1f} misses per round)")

    def cost(row, what):
        stock, ours = row["layouts"]["stock"], row["layouts"]["near"]
        if what == "load":
            # The least: no timer tick in it.
            parts = [("instructions, at least,", number(stock["load"]["insns"][0]), number(ours["load"]["insns"][0]))]
            parts += [(name, both(stock["load"][key]), both(ours["load"][key]))
                      for name, key in [("TLBI", "tlbi"), ("IC IVAU", "ic_ivau")]]
        else:
            parts = [(name, free(stock, 1, key), free(ours, 1, key))
                     for name, key in [("instructions", "insns"), ("TLBI", "tlbi"), ("IC IVAU", "ic_ivau")]]
        return ", ".join(f"{name} {s} → {o}" for name, s, o in parts)

    return "\n".join([
        "# bpf_pack: what was measured (stock → module; TLB figures: a model of Neoverse N1's geometry, LRU)",
        "",
        f"* **Worse than stock** in {len(data['worse'])} of the figures below, which come first: {'; '.join(worse_kinds(data))}.",
        f"* **BPF iTLB misses left**, warm: at most {max(bench.misses(row, 'near') for row in warm)} in a region (non-zero in {len(left)} of "
        f"{len(warm)} scenarios); stock's largest: {number(bench.misses(worst, 'stock'))} → {number(bench.misses(worst, 'near'))} ({bench.scenario_name(worst)}, {worst['rounds']} rounds).",
        f"* **4 KiB packing is enough** up to {edge(fits)} taken evenly from 1,000 live ones, no longer at {edge(grows)}; "
        f"packed side by side up to {edge(dense_fits)}, no longer at {edge(dense_grows)}. (Enough: fewer misses per round than {bench.FITS:.0%} of the hot pages.)",
        f"* **A load** of 256 B beside 0 live: {cost(small, 'load')}; beside 1,000: {cost(live, 'load')}. "
        f"Of it the allocator: alloc {direct.in_short(data['direct'], 'alloc')}; finalize {direct.in_short(data['direct'], 'finalize')}.",
        f"* **A free** of 256 B beside 0 live: {cost(small, 'free')}; beside 1,000: {cost(live, 'free')}. "
        f"Of it the allocator's call: {direct.in_short(data['direct'], 'free')}.",
        f"* **Memory** for 1,000 programs of {number(memory['jited_bytes'])} jited bytes: {mib(total_bytes(memory, 'stock'))} → {mib(total_bytes(memory, 'near'))}"
        f" (of that, {mib(memory['layouts']['near']['stock']['bytes'])} is stock's pack of programs made before the module).",
        *compiler.summary(data), *calls.summary(data),
        "",
    ])


def worse_kinds(data):
    """What is worse, without where: kind and largest difference."""
    kinds = {}
    for _, what, stock, ours in data["worse"]:
        kind = what.split(",")[0]
        kinds[kind] = max(kinds.get(kind, 0), ours - stock)
    return [f"{kind} by at most {difference:,.0f}" for kind, difference in kinds.items()]


def worse_section(data):
    """Where stock is better."""
    rows = [(name, what, f"{stock:,.0f}", f"{ours:,.0f}", f"+{ours - stock:,.1f}".removesuffix(".0")) for name, what, stock, ours in data["worse"]]
    return ("## Where the module is worse than stock\n\nAll of it, however small. Timer ticks fall elsewhere in another layout, and one "
            "different address changes all that random replacement draws afterwards: both show as small differences of either sign. "
            "Instructions of frees are listed only beyond the background's own change.\n\n") + (
        table(["where", "what", "stock", "module (near)", "difference"], rows) if rows else "In no figure below.\n")


def environment_section(data):
    """What the figures depend on."""
    lines = [f"* {line}" for line in data["environment"]]
    lines += [f"* layout `{name}`: {text}" for name, text in data["layouts"].items()]
    lines += [f"* geometry `{g['model']}`: first level {g['l1_entries']} entries, fully associative, sizes {g['l1_sizes']}; second level "
              f"{g['l2_sets']} sets of {g['l2_ways']}; {g['policy']}" + (f", seed {g['seed']}" if "seed" in g else "")
              for g in data["geometries"]]
    lines += ["* sources of the geometries: Arm 100616 (Neoverse N1 TRM), Arm 102375 (Neoverse V2 TRM; the effective instruction half); "
              "`small` is made up. Arm documents no replacement policy; both are the model's choices.",
              f"* run twice, identical to the byte: {', '.join(name.removesuffix('-again') for name in data['repeated'])}",
              f"* hits compared with QEMU's translation: {number(sum(r['hits_checked'] for r in data['runs'].values()))}, stale: 0; walks compared: "
              f"{number(sum(r['walks_checked'] for r in data['runs'].values()))}, wrong: 0",
              "* the model's own known answers: `tools/tlb-model/known-answers.sh`"]
    return "## Environment\n\n" + "\n".join(lines) + "\n"


def misses_section(rows, model, title):
    """Misses and walks of BPF text under one model."""
    def cell(row, layout):
        if layout not in row["layouts"]:
            return "not run"
        text = number(bench.misses(row, layout, model))
        count = bench.walks(row, layout, model)
        return f"{text} ({number(count)})" if count else text

    layouts = [layout for layout in ORDER if layout in rows[0]["layouts"]]
    body = []
    for row in rows:
        stock, near = bench.misses(row, "stock", model), bench.misses(row, "near", model)
        body.append([row["mix"], number(row["live"]), number(row["hot"]), row["place"], row["temperature"], row["rounds"],
                     row["layouts"]["stock"]["hot_pages"]] + [cell(row, layout) for layout in layouts] +
                    [number(near - stock), f"{stock / row['rounds']:.2f}", f"{near / row['rounds']:.2f}"])
    return f"### {title}\n\n" + table(
        ["mix", "live", "hot", "place", "iTLB", "rounds", "hot pages, stock"] + [SHORT[layout] for layout in layouts] +
        ["near − stock", "stock per round", "near per round"], body)


def classes_section(data):
    """The other classes, and whether the same was executed."""
    body = []
    for row in data["hot"]:
        cells = [bench.scenario_name(row)]
        for cls in ["kernel", "user"]:
            cells += [number(bench.misses(row, layout, cls=cls)) for layout in ["stock", "near"]]
        cells += [number(row["layouts"][layout]["bpf_insns"]) for layout in ["stock", "near"]]
        leaves = row["layouts"]["near"]["models"][bench.MAIN]["bpf"]["leaves"]
        body.append(cells + [", ".join(f"{count} × {size}" for size, count in leaves.items() if count) or "none"])
    return f"### Other classes, {bench.MAIN}\n\n" + table(
        ["scenario", "kernel misses, stock", "near", "user misses, stock", "near", "bpf instructions, stock", "near", "leaves of bpf walks, near"], body)


def hot_section(data):
    """Everything about misses."""
    sizes = data["sizes"]
    parts = ["## BPF iTLB misses and walks\n",
             "Misses of the first level in the region of all rounds; page-table walks in parentheses where there were any. A round runs each hot "
             "program once, 34 in one system call (BPF_PROG_TEST_RUN, tail calls). \"realistic\": sizes of real programs, "
             f"{sizes['recorded']} of libbpf-tools as recorded on the stock kernel (`guest/sizes.h`, mean {sizes['mean']} B), in order of loading, over and over. "
             f"{sizes['raised']} of them are shorter than a program with a tail call may be and have {sizes['shortest']} B here, so that the mean is {sizes['used_mean']:.0f} B. \"flush\": empty TLBs before each system call, an upper bound; \"evict64\", \"evict2000\": so many "
             "pages of user code are called before each round. Exact: they repeat to the digit; random replacement is one seed or several as listed. "
             "Not shown: any program that does something, calls to helpers, data, time.\n"]
    for model in data["models"]:
        parts.append(misses_section(data["hot"], model, model))
    parts.append(classes_section(data))
    if "hot_max" in data:
        parts.append(misses_section(data["hot_max"], bench.MAIN, f"-cpu max, {bench.MAIN}"))
        for model in data["sense_models"]:
            parts.append(misses_section(data["hot_sense"], model, f"Sensitivity: {model}"))
        for model in data["models"]:
            parts.append(misses_section(data["hot_16k"], model, f"Kernel with 16 KiB pages, {model}"))
    no_gain = [row for row in data["hot"] if bench.misses(row, "stock") <= bench.misses(row, "near")]
    parts.append(f"### Scenarios without a gain, {bench.MAIN}\n\n" + ("\n".join(
        f"* {bench.scenario_name(row)}: {bench.misses(row, 'stock')} → {bench.misses(row, 'near')}" for row in no_gain) or "None.") + "\n")
    return "\n".join(parts)


def free(cell, count, what):
    """A free's count; instructions with the change of the background work around it."""
    if what != "insns":
        return number(cell["frees"][count][what])
    return f"{cell['frees'][count][what]:,.0f} ± {cell['frees'][count]['insns_uncertain']:,.0f}"


def original_section(data):
    """The original workload's own figures, of the model."""
    rows = [row for row in data["hot"] if row["mix"].startswith("original")]
    if not rows:
        return "## The original workload\n\nNot run.\n"
    layouts = [layout for layout in ["page", "stock", "far", "near"] if layout in rows[0]["layouts"]]

    def every(row, layout, what):
        classes = row["layouts"][layout]["models"][bench.MAIN]
        return sum(classes[cls][what] for cls in classes)

    body = []
    for row in rows:
        for layout in layouts:
            insns = row["layouts"][layout]["insns"]
            body.append([f"{row['mix'].removeprefix('original-')}, {row['live'] // 8} processes, {row['temperature']}", SHORT[layout],
                         row["layouts"][layout]["hot_pages"], number(insns), number(every(row, layout, "misses")), number(every(row, layout, "walks")),
                         f"{1000 * every(row, layout, 'misses') / insns:.4f}", f"{1000 * every(row, layout, 'walks') / insns:.4f}",
                         number(bench.misses(row, layout)), "/".join(map(str, row["layouts"][layout]["lengths"]))])
    return ("## The original workload\n\nEight programs in each process, written from the description; five of them run in each round. One process makes the calls "
            "(it runs the programs of all), nothing else runs: not the original's set-up, which is below. All classes together, as the original counted; the whole region's "
            "instructions include timer ticks, whose place differs from layout to layout. Without KASLR, which does not repeat, stock's pack is near the kernel's "
            "text and its calls are short: the jited bytes (tracepoint/kprobe/kretprobe) of stock are longer in an ordinary boot.\n\n" +
            table(["workload", "layout", "hot pages", "instructions", "misses", "walks", "misses per 1,000", "walks per 1,000", "bpf misses", "jited bytes"], body))


def life_tables(rows):
    """Loads and frees."""
    layouts = [layout for layout in ORDER if layout in rows[0]["layouts"]]
    parts = []
    for what, name in [("insns", "guest instructions"), ("tlbi", "TLBI, broadcast, without repeats"), ("tlbi_repeat", "TLBI repeated by the kernel's workaround"),
                       ("ic_ivau", "IC IVAU"), ("dc_cvau", "DC CVAU"), ("isb", "ISB")]:
        body = []
        for row in rows:
            cells = [row["layouts"][layout] for layout in layouts]
            near, stock = (row["layouts"][layout] for layout in ["near", "stock"])
            body.append([number(row["live"]), number(row["bytes"]), "load"] + [both(cell["load"][what]) for cell in cells] + [number(near["load"][what][0] - stock["load"][what][0])])
            for count in sorted(stock["frees"]):
                body.append(["", "", f"free {count}"] + [free(cell, count, what) for cell in cells] +
                            [f"{near['frees'][count][what] - stock['frees'][count][what]:,.0f}"])
        parts.append(f"#### {name}\n\n" + table(["live", "bytes", ""] + [SHORT[layout] for layout in layouts] + ["near − stock"], body))
    return "\n".join(parts)


def life_section(data):
    """Costs."""
    parts = ["## What loading and freeing costs\n",
             "A load is one BPF_PROG_LOAD (the verifier and the JIT are most of it) of a program of that jited size, four in a row: "
             "smallest..largest, exact; the difference is that of the smallest, which have no timer tick in them. "
             "Frees are deferred: a free is a window of 2.5 s that begins with closing so many programs, less the mean of the windows before and after, "
             "in which nothing is closed; ± is half the difference of these two. The module's windows hold its tick.\n",
             life_tables(data["life"])]
    if "life_max" in data:
        parts.append("### -cpu max\n\n" + life_tables(data["life_max"]))
    parts.append("### The first load\n\nOf 256 B with nothing live: the module made its first pack at insmod.\n\n" + table(
        ["layout", "instructions", "TLBI", "IC IVAU"],
        [[SHORT[layout], number(cost["insns"]), number(cost["tlbi"]), number(cost["ic_ivau"])]
         for layout, cost in ((layout, data["life"][0]["layouts"][layout]["first"]) for layout in ORDER if layout in data["life"][0]["layouts"])]))
    if data["sgi"]:
        parts.append(sgi_section(data))
    parts.append("### Inserting the module, once\n\nThe whole of insmod, reading and linking the module included; a failing insmod beside it.\n\n" + table(
        ["layout", "instructions", "failing insmod", "TLBI", "IC IVAU"],
        [[SHORT[layout], number(row["insmod"]["insns"]), number(row["nothing"]["insns"]), number(row["insmod"]["tlbi"]), number(row["insmod"]["ic_ivau"])]
         for layout, row in data["init"].items()]))
    return "\n".join(parts)


def sgi_section(data):
    """Interrupts between CPUs."""
    return ("### Function-call interrupts (SGI 1), several CPUs in parallel\n\nSmallest..largest of all loads or windows of all runs; does not repeat.\n\n" + table(
        ["CPUs", "live", "bytes", "", "stock", "module (near)", "runs each"],
        [line for row in data["sgi"] for line in
         [[row["cpus"], row["live"], row["bytes"], "load", both(row["layouts"]["stock"]["load"]), both(row["layouts"]["near"]["load"]), row["layouts"]["near"]["runs"]]] +
         [["", "", "", f"free {count}", both(row["layouts"]["stock"]["frees"][count]), both(row["layouts"]["near"]["frees"][count]), ""]
          for count in sorted(row["layouts"]["stock"]["frees"])]]))


def memory_section(data):
    """Memory."""
    layouts = [layout for layout in ORDER if layout in data["memory"][0]["layouts"]]

    def cell(row, layout):
        if layout not in row["layouts"]:
            return "not run"
        parts = row["layouts"][layout]
        text = f"{number(total_bytes(row, layout))} ({parts['stock']['packs']} stock"
        return text + (f", {parts['module']['packs']} module)" if "module" in parts else ")")

    return ("## Memory\n\nBytes of pages reserved for images while the programs were loaded (packs and areas); the module keeps an emptied pack "
            "for some seconds, and stock's pack from before it was inserted stays. Not shown: page tables and book-keeping.\n\n" +
            table(["programs", "mix", "jited bytes"] + [SHORT[layout] for layout in layouts],
                  [[number(row["live"]), row["mix"], number(row["jited_bytes"])] + [cell(row, layout) for layout in layouts] for row in data["memory"]]))


def published_section():
    """The published figures, and why not to compare."""
    return ("## Published figures\n\nBPF-Allocator-Bench on arm64 hardware under KVM published −63.16 % refills per second (iTLB-load-misses) and −42.71 % walks per "
            "1000 instructions. They compare a page per program with packs of 4 KiB pages (A with B), on hardware, with another workload: they are not comparable "
            "with the model's figures, and no figure here reproduces or improves them. Stock has had packs since 6.9.\n")


def report(data):
    """The whole report."""
    not_run = "## Not run\n\n" + "\n".join(f"* {what}: {why}." for what, why in data["not_run"]) + "\n"
    plots = ("## Plots\n\n![misses per round against hot pages](misses.svg)\n\n"
             "![instructions of an allocation against live images](alloc.svg)\n\n![instructions of a free against live images](free.svg)\n")
    return "\n".join([summary(data), worse_section(data), plots, environment_section(data), hot_section(data), original_section(data), compiler.section(data), life_section(data),
                      direct.section(data["direct"]), calls.section(data), memory_section(data),
                      hardware.section(data["hardware"]), published_section(), "## Limits\n\n" + data["limits"] + "\n", not_run])
