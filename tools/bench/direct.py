# SPDX-License-Identifier: GPL-2.0
"""The allocator called directly: what its calls cost, and what fragmentation costs."""

import json

from runs import Bad, counts, spread
from tables import both, number, table

# Who serves the calls: name, layout of the run, way in, and how tables call it.
WAYS = [("stock", "stock", "jit", "stock"),
        ("hooks", "near", "jit", "module, through the hooks"),
        ("calls", "near", "abi", "module, called directly")]
CALLS = ["first alloc", "last free", "alloc", "finalize", "free"]
# Of these more is worse: name in the data, name in tables.
FIGURES = [("insns", "guest instructions"), ("irqs_off", "longest stretch of instructions with interrupts off"),
           ("tlbi", "TLBI (broadcast; without repeats)"), ("ic_ivau", "IC IVAU"), ("dc_cvau", "DC CVAU"), ("isb", "ISB")]


def counted(run, line):
    """What a region of a direct call cost."""
    region = run.region(line)
    return dict(counts(region), irqs_off=region["irqs_off_longest"])


def scenario(line):
    """What makes a scenario, whoever serves it."""
    return (line["live"], line["state"], line["bytes"])


def served(runs, layout, suffix=""):
    """The runs of a layout that repeat: one guest, and another one for very many images."""
    return [runs[name] for name in [layout + suffix, f"{layout}-huge{suffix}"] if name in runs]


def lives_of(some, via):
    """The calls of some runs: {(live, state, bytes): {call: {figure: [smallest, largest]}}}."""
    found = {}
    for run, line in ((run, line) for run in some for line in run.said("direct")):
        if line["via"] != via or line["what"] not in CALLS:
            continue
        if run.cpus == 1 and (line["ticks"] or line["switches"]):
            raise Bad(f"{run.name}: a timer tick or another task in region {line['region']}")
        found.setdefault(scenario(line), {}).setdefault(line["what"], []).append(counted(run, line))
    return {key: {call: {figure: spread([one[figure] for one in repeats]) for figure in repeats[0]}
                  for call, repeats in calls.items()} for key, calls in found.items()}


def life_rows(runs, suffix=""):
    """A row for each number of live images, state and size."""
    ways = {way: lives_of(served(runs, layout, suffix), via) for way, layout, via, _ in WAYS}
    rows = []
    for key, calls in ways["stock"].items():
        for way, found in ways.items():
            if key not in found or list(found[key]) != list(calls):
                raise Bad(f"{way}: no direct calls for {key}")
        rows.append(dict(zip(["live", "state", "bytes"], key), calls=list(calls),
                         ways={way: found[key] for way, found in ways.items()}))
    if not rows or any(len(found) != len(rows) for found in ways.values()):
        raise Bad("direct calls are missing")
    return rows


def batches_of(some, via):
    """Frees of many with what is done later: {live: {...}}, less what an idle time costs."""
    lines = [(line, counted(run, line)) for run in some for line in run.said("direct") if line["via"] == via]
    found = {}
    for index, (line, whole) in enumerate(lines):
        if line["what"] != "batch":
            continue
        (before, idle), (inner, calls), (after, later) = lines[index - 1], lines[index + 1], lines[index + 2]
        if (before["what"], inner["what"], after["what"]) != ("idle", "calls", "idle"):
            raise Bad(f"{some[0].name}: a batch of frees is not between two idle windows")
        found[line["live"]] = {
            "count": line["count"], "bytes": line["bytes"], "calls": calls,
            "later": {what: whole[what] - calls[what] - (idle[what] + later[what]) / 2 for what in whole},
            "insns_uncertain": abs(idle["insns"] - later["insns"]) / 2}
    return found


def batch_rows(runs):
    """A row for each number of live images."""
    ways = {way: batches_of(served(runs, layout), via) for way, layout, via, _ in WAYS}
    if not ways["stock"] or any(found.keys() != ways["stock"].keys() for found in ways.values()):
        raise Bad("frees of many are missing")
    return [{"live": live, "ways": {way: found[live] for way, found in ways.items()}} for live in ways["stock"]]


def sgi_rows(runs):
    """Interrupts for function calls in the parallel runs: smallest and largest of a call."""
    rows = {}
    for run in runs.values():
        if run.cpus == 1:
            continue
        for way, layout, via, _ in WAYS:
            if layout != run.layout:
                continue
            for (live, _, size), calls in lives_of([run], via).items():
                for call, figures in calls.items():
                    rows.setdefault((run.cpus, live, size, call), {}).setdefault(way, []).extend(figures["call_sgi"])
    for key, ways in rows.items():
        if len(ways) != len(WAYS):
            raise Bad(f"no interrupts counted for {key} in one of {[way for way, *_ in WAYS]}")
    return [{"cpus": cpus, "live": live, "bytes": size, "call": call, "ways": {way: spread(values) for way, values in ways.items()}}
            for (cpus, live, size, call), ways in sorted(rows.items())]


def hold_row(runs):
    """The longest hold of a lock: stock's is held for the whole of alloc and free."""
    stock, timed = runs["stock-holds"], runs["timed-holds"]
    lines = timed.said("hold")
    if len(lines) != 1:
        raise Bad(f"{timed.name}: no longest hold")
    calls = lives_of([stock], "jit").values()
    longest = max(found[call]["insns"][1] for found in calls for call in ["alloc", "free"])
    live = max(live for live, _, _ in lives_of([stock], "jit"))
    return {"live": live, "stock": longest, "module": lines[0]["instructions"]}


def packs(directory):
    """What the model of both allocators printed."""
    lines = [json.loads(line) for line in (directory / "fragmentation.json").read_text().splitlines()]
    found = {}
    for line in lines:
        found.setdefault((line["live"], line["operations"], line["seed"]), {})[line["allocator"]] = line
    if not found or any(sorted(both) != ["module", "stock"] for both in found.values()):
        raise Bad("the model of fragmentation is not complete")
    return found


def confirmed(runs, modelled):
    """The operations that guests did too; every image must be where the model has it."""
    rows = []
    for way, layout, via, _ in WAYS:
        lines = [line for line in runs[layout].said("random") if line["via"] == via]
        if not lines:
            raise Bad(f"{way}: no random operations in the guest")
        for line in lines:
            key = (line["live"], line["operations"], line["seed"])
            model = modelled.get(key, {}).get("stock" if layout == "stock" else "module", {})
            for what in ["images", "packs", "digest"]:
                if line[what] != model.get(what):
                    raise Bad(f"{way}: after random operations {key}: {what} {line[what]} in the guest, {model.get(what)} in the model")
            rows.append({"way": way, "live": line["live"], "operations": line["operations"], "images": line["images"], "packs": line["packs"]})
    return rows


def check_masked(runs):
    """A stretch with interrupts off whose length the guest knows."""
    for run in [runs["stock"], runs["near"]]:
        lines = run.said("masked")
        if not lines:
            raise Bad(f"{run.name}: no known stretch with interrupts off")
        for line in lines:
            seen = run.region(line)["irqs_off_longest"]
            if seen != line["instructions"]:
                raise Bad(f"{run.name}: {line['instructions']} instructions with interrupts off were counted as {seen}")


def rows(runs, directory):
    """All rows of direct calls and of fragmentation."""
    check_masked(runs)
    modelled = packs(directory)
    return {"lives": life_rows(runs), "lives_max": life_rows(runs, "-max") if "stock-max" in runs else [], "batches": batch_rows(runs), "sgi": sgi_rows(runs), "hold": hold_row(runs), "confirmed": confirmed(runs, modelled),
            "fragmentation": [{"live": live, "operations": operations, "seed": seed, "allocators": both}
                              for (live, operations, seed), both in modelled.items()]}


def not_run(data):
    """What the direct calls leave out."""
    if any(row["live"] >= 100000 for row in data["lives"]):
        return []
    return [("direct calls beside 10,000 and 100,000 live images", "only in the full run")]


def worse(data):
    """Where the module, through its hooks, has more of something than stock."""
    found = []
    for row, where in [(row, "") for row in data["lives"]] + [(row, ", -cpu max") for row in data["lives_max"]]:
        name = f"{row['bytes']} B, direct call beside {row['live']} live, {row['state']}{where}"
        for call in row["calls"]:
            for figure, title in FIGURES:
                stock, ours = (row["ways"][way][call][figure][1] for way in ["stock", "hooks"])
                if ours > stock:
                    found.append((name, f"{title} of a direct {call}, at most", stock, ours))
    for row in data["batches"]:
        stock, ours = row["ways"]["stock"], row["ways"]["hooks"]
        name = f"{ours['count']} × {ours['bytes']} B freed by direct calls beside {row['live']} live"
        for figure, title in FIGURES:
            if figure == "irqs_off":
                continue
            s, o = (way["calls"][figure] + way["later"][figure] for way in [stock, ours])
            uncertain = stock["insns_uncertain"] + ours["insns_uncertain"] if figure == "insns" else 0
            if o - s > uncertain:
                found.append((name, f"{title} of freeing many by direct calls", s, o))
    for row in data["sgi"]:
        if row["ways"]["hooks"][1] > row["ways"]["stock"][1]:
            found.append((f"{row['bytes']} B, direct call beside {row['live']} live, {row['cpus']} CPUs",
                          f"function-call SGI of a direct {row['call']}, at most", row["ways"]["stock"][1], row["ways"]["hooks"][1]))
    hold = data["hold"]
    if hold["module"] > hold["stock"]:
        found.append((f"{hold['live']} images made and freed", "longest hold of the allocator's lock", hold["stock"], hold["module"]))
    for row in data["fragmentation"]:
        stock, ours = (row["allocators"][allocator]["reserved"] for allocator in ["stock", "module"])
        if ours > stock:
            found.append((f"about {row['live']} images after {row['operations']} random operations, model", "bytes reserved by the model", stock, ours))
    return found


def in_short(data, call):
    """A call of 256 B beside the fewest and the most live images, in words."""
    rows = [row for row in data["lives"] if row["bytes"] == 256 and row["state"] == "fresh" and call in row["calls"]]
    ends = [min(rows, key=lambda row: row["live"]), max(rows, key=lambda row: row["live"])]
    return ", ".join("{} → {} beside {:,} live".format(*(both(row["ways"][way][call]["insns"]) for way in ["stock", "hooks"]), row["live"]) for row in ends)


def life_table(lives, figure, title):
    """One figure of every call that has any of it."""
    body = []
    for row in lives:
        for call in row["calls"]:
            cells = [row["ways"][way][call][figure] for way, *_ in WAYS]
            if not any(map(any, cells)):
                continue
            stock, hooks, calls = cells
            body.append([number(row["live"]), row["state"], number(row["bytes"]), call] + [both(cell) for cell in cells] +
                        [number(hooks[0] - calls[0]), number(hooks[0] - stock[0])])
    if not body:
        return f"#### {title[0].upper()}{title[1:]}\n\nNone in any call.\n"
    return f"#### {title[0].upper()}{title[1:]}\n\n" + table(
        ["live", "state", "bytes", "call"] + [title for *_, title in WAYS] + ["hook alone", "through the hooks − stock"], body)


def batch_section(data):
    """Frees with their deferred part, for each of them."""
    body = []
    for row in data["batches"]:
        for figure, title in FIGURES:
            if figure == "irqs_off":
                continue
            cells = []
            for way, *_ in WAYS:
                entry = row["ways"][way]
                count = entry["count"]
                uncertain = f" ± {entry['insns_uncertain'] / count:,.0f}" if figure == "insns" else ""
                cells.append(f"{entry['calls'][figure] / count:,.2f} + {entry['later'][figure] / count:,.2f}{uncertain}")
            if any(row["ways"][way][part][figure] for way, *_ in WAYS for part in ["calls", "later"]):
                body.append([number(row["live"]), title] + cells)
    entry = data["batches"][0]["ways"]["stock"]
    return (f"### A free with its deferred part\n\nOf {entry['count']} images of {entry['bytes']} B freed in a row, for each: in the calls + in the 2.5 s after "
            "them, less the mean of such times before and after in which nothing is freed (± half their difference).\n\n" +
            table(["live", ""] + [title for *_, title in WAYS], body))


def sgi_section(data):
    """Interrupts between CPUs."""
    if not data["sgi"]:
        return "### Function-call interrupts of direct calls\n\nNot run: the plan had no guest with several CPUs.\n"
    return ("### Function-call interrupts (SGI 1) of direct calls, CPUs in parallel\n\nSmallest..largest of all runs; does not repeat.\n\n" + table(
        ["CPUs", "live", "bytes", "call"] + [title for *_, title in WAYS],
        [[row["cpus"], row["live"], number(row["bytes"]), row["call"]] + [both(row["ways"][way]) for way, *_ in WAYS] for row in data["sgi"]]))


def hold_section(data):
    """The lock that every load needs."""
    hold = data["hold"]
    return ("### The longest hold of the allocator's lock\n\n"
            f"{number(hold['live'])} images of the realistic mix are made, 1,000 of 256 B freed at once, then all, in a guest of its own; no other task waits. The stock allocator holds "
            "its mutex for the whole of an alloc and of a free: the dearest of these. The module's test build measures each hold by the clock, which counts "
            "instructions in steps of 16 here.\n\n" +
            table(["", "stock", "module"], [["instructions with the lock held", number(hold["stock"]), number(hold["module"])]]))


def fragmentation_section(data):
    """Packs, bytes and what is lost."""
    body = []
    for row in data["fragmentation"]:
        for allocator, line in row["allocators"].items():
            reserved = line["reserved"]
            body.append([number(row["live"]), number(row["operations"]), allocator, number(line["images"]),
                         f"{line['packs']} ({number(reserved)} B)", number(reserved * 1000 // line["images"]), number(line["jited_bytes"]),
                         f"{1 - line['jited_bytes'] / reserved:.2%}", f"{(line['chunk_bytes'] - line['jited_bytes']) / reserved:.2%}",
                         f"{1 - line['chunk_bytes'] / reserved:.2%}"])
    agreed = "; ".join(f"{title}: {number(row['images'])} images in {row['packs']} packs after {number(row['operations'])} operations"
                       for row in data["confirmed"] for way, *_, title in WAYS if way == row["way"])
    return ("### Fragmentation\n\nRandom allocations and frees of the realistic size mix with about so many images, in a model on the host: the module's own decisions (the "
            "crate pack_core) and a transliteration of the stock first fit. Modelled: what the JIT reserves for such programs without its random gap, trimming at finalize, "
            "retired memory that waits for the next finalize, near packs first. Not modelled: time (the module keeps an empty pack for some seconds: here for ever, and it "
            "counts), page tables and book-keeping, a JIT that reserves more than it needs. Lost: the share of the reserved bytes that are not jited bytes; rounding is "
            "headers, slack and the rest of the last chunk; holes is what no image has, the room at the end of the last pack included.\n\n"
            f"The guests did the first of these, too, and every image was where the model has it (compared by a digest of all places): {agreed}.\n\n" +
            table(["about live", "operations", "allocator", "images", "packs in use (bytes reserved)", "bytes per 1,000 images", "jited bytes",
                            "lost", "of it rounding", "of it holes"], body))


def section(data):
    """Everything about direct calls and fragmentation."""
    return "\n".join([
        "## The allocator, called directly\n",
        "A kernel module plays a JIT: no verifier, no compiler. It calls the kernel's entry points for its JIT (bpf_prog_pack_alloc(), bpf_jit_binary_pack_finalize(), "
        "bpf_prog_pack_free()), which lead to the stock allocator or through the module's hooks, and the module's own three functions. \"Hook alone\" is the difference "
        "of the last two. Each call is a region without a timer tick, four repeats: smallest..largest; differences are those of the smallest. Fresh: the live images of the "
        "realistic mix were made in order; churn: then a random half of them was freed and made again in other sizes. First alloc: no pack has room or is there; last free: of the "
        "only image in a pack. A finalize ends with what earlier frees left to it: its smallest had no such frees before it. Freeing the buffer is part of each "
        "finalize.\n",
        *[life_table(data["lives"], figure, title) for figure, title in FIGURES],
        "Interrupts off: from the write that masks to the one that unmasks, exceptions in between excluded.\n",
        *([life_table(data["lives_max"], FIGURES[0][0], f"-cpu max: {FIGURES[0][1]}")] if data["lives_max"] else []),
        batch_section(data), hold_section(data), sgi_section(data), fragmentation_section(data)])
