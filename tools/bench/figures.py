# SPDX-License-Identifier: GPL-2.0
"""The benchmark's figures: makes rows of what its guests left."""

import calls
import compiler
import direct
import hardware
from runs import MAIN, Bad, counts, load, plan, spread

LAYOUTS = {
    "stock": "B: the stock kernel, 4 KiB pages",
    "near": "C near: the module, one 2 MiB block per pack, near the kernel's text",
    "far": "C far: the module, near_packs=0",
    "c64": "C64: the module with leaf=1: packs of 64 KiB contiguous runs, the fallback",
    "base": "the module with leaf=2: packs of 4 KiB pages",
    "page": "A: emulated historical scheme, a page per program (the module with align=4096 leaf=2)",
}
# Fewer BPF misses per round than this share of the hot pages: the pages fit.
FITS = 0.1
# From so many live programs on there is no page for each: these would be in more places than the
# model can tell from other text.
MANY = 10000
LIMITS = ("Misses and walks of a model with stated geometry, driven by instruction fetches of an emulated "
          "guest. No speculation, prefetch, walk cache, micro-architecture or time. Misses are not cycles. "
          "No arm64 hardware was measured.")
NOT_RUN = [
    ("the real tools themselves, as a second set", "only the sizes of their programs are used, not what these do"),
    ("a page per program with 10,000 live ones", "these pages are in more places than the model can tell from other text"),
    ("1,000 and 10,000 large programs", "the verifier has too much to do for them under emulation: 160 were run"),
    ("100,000 live programs", "so many images are measured with direct calls only"),
]


def key(line):
    """What makes a scenario, whatever the layout."""
    return (line["mix"], line["live"], line["hot"], line["place"], line["temperature"])


def hot_rows(runs, suffix=""):
    """A row for each scenario: what each layout's model counted."""
    by_layout = {layout: {key(line): (runs[layout + suffix], line) for line in runs[layout + suffix].said("hot")}
                 for layout in LAYOUTS if layout + suffix in runs}
    rows = []
    for scenario in by_layout["stock"]:
        row = dict(zip(["mix", "live", "hot", "place", "temperature"], scenario), layouts={})
        for layout, found in by_layout.items():
            if scenario not in found:
                if layout == "page" and row["live"] >= MANY:
                    continue
                raise Bad(f"{layout}: no row {scenario}")
            run, line = found[scenario]
            region = run.region(line)
            row["rounds"] = line["rounds"]
            row["layouts"][layout] = {
                "hot_pages": line["hot_pages"],
                "live_bytes": line["live_bytes"],
                "bpf_insns": region["class"]["bpf"]["insns"],
                "insns": region["insns"],
                "lengths": line.get("lengths"),
                "models": {model["model"]: {
                    cls: {what: model["class"][cls][what] for what in ["misses", "walks", "leaves"]}
                    for cls in ["bpf", "kernel", "user"]} for model in region["models"]},
            }
            if not row["layouts"][layout]["bpf_insns"]:
                raise Bad(f"{layout}: {scenario}: no BPF instruction was executed")
        rows.append(row)
    if not rows:
        raise Bad("no scenario")
    return rows


def life_of(run):
    """Costs in one run: {(live, bytes): {...}}."""
    result = {}
    lines = [(line, counts(run.region(line))) for line in run.said("load_free")]
    for index, (line, region) in enumerate(lines):
        entry = result.setdefault((line["live"], line["bytes"]), {"first": None, "load": {}, "frees": {}})
        if line["what"] == "first":
            entry["first"] = region
        elif line["what"] == "load":
            entry["load"].setdefault("all", []).append(region)
            entry["load"].setdefault("clock", []).append(line["ns"])
        elif line["what"] == "free":
            (before, idle), (after, later) = lines[index - 1], lines[index + 1]
            if before["what"] != "idle" or after["what"] != "idle":
                raise Bad(f"{run.name}: a window with frees is not between two without")
            free = {what: region[what] - (idle[what] + later[what]) / 2 for what in region}
            free["insns_uncertain"] = abs(idle["insns"] - later["insns"]) / 2
            entry["frees"][line["count"]] = {what: int(value) if value == int(value) else value
                                             for what, value in free.items()}
    for entry in result.values():
        loads = entry["load"].pop("all")
        clock = entry["load"].pop("clock")
        # Virtual time counts instructions: the two counters must agree.
        if run.cpus == 1:
            for load, nanoseconds in zip(loads, clock):
                if abs(load["insns"] - nanoseconds) > 500:
                    raise Bad(f"{run.name}: a load of {load['insns']} instructions took {nanoseconds} ns of virtual time")
        entry["load"] = {what: spread([load[what] for load in loads]) for what in loads[0]}
        entry["loads"] = len(loads)
    return result


def life_rows(runs, suffix=""):
    """A row for each number of live images and size."""
    by_layout = {layout: life_of(runs[layout + suffix]) for layout in LAYOUTS if layout + suffix in runs}
    rows = []
    for live, size in by_layout["stock"]:
        row = {"live": live, "bytes": size, "layouts": {}}
        for layout, found in by_layout.items():
            if (live, size) not in found:
                raise Bad(f"{layout}: no costs for {size} bytes beside {live}")
            row["layouts"][layout] = found[live, size]
        rows.append(row)
    if not rows:
        raise Bad("no costs")
    return rows


def sgi_rows(runs):
    """Interrupts for function calls in each parallel run: per load, per group of frees."""
    rows = {}
    for run in runs.values():
        if run.cpus == 1:
            continue
        for (live, size), entry in life_of(run).items():
            row = rows.setdefault((run.cpus, live, size), {}).setdefault(run.layout, {"load": [], "frees": {}, "runs": 0})
            row["load"] += entry["load"]["call_sgi"]
            row["runs"] += 1
            for count, free in entry["frees"].items():
                row["frees"].setdefault(count, []).append(free["call_sgi"])
    return [{"cpus": cpus, "live": live, "bytes": size, "layouts": {
        layout: {"runs": row["runs"], "load": spread(row["load"]),
                 "frees": {count: spread(values) for count, values in row["frees"].items()}}
        for layout, row in layouts.items()}} for (cpus, live, size), layouts in sorted(rows.items())]


def memory_rows(runs):
    """Bytes reserved while the programs of each mix were loaded."""
    rows = {}
    for layout in LAYOUTS:
        if layout not in runs:
            continue
        pending = {}
        for line in runs[layout].lines:
            if line["line"] == "memory":
                pending[line["at"], line["who"]] = line
            elif line["line"] == "loaded":
                row = rows.setdefault((line["mix"], line["live"]), {"mix": line["mix"], "live": line["live"],
                                                                   "jited_bytes": line["bytes"], "layouts": {}})
                row["layouts"][layout] = {
                    who: {"packs": pending["loaded", who]["packs"], "bytes": pending["loaded", who]["bytes"]}
                    for who in ["stock", "module"] if ("loaded", who) in pending}
    return list(rows.values())


def sizes_of(runs):
    """The recorded sizes behind the realistic mix, in figures."""
    for line in runs["stock"].said("loaded"):
        if line["mix"] == "realistic":
            return dict({what: line[what] for what in ["recorded", "mean", "shortest", "raised"]}, used_mean=line["bytes"] / line["live"])
    raise Bad("no realistic mix")


def init_rows(runs):
    """Instructions of inserting the module, beside those of a failing insmod."""
    return {layout: {"insmod": counts(runs[layout].regions[1]), "nothing": counts(runs[layout].regions[2])}
            for layout in LAYOUTS if layout != "stock" and layout in runs}


def misses(row, layout, model=MAIN, cls="bpf"):
    """Misses of a scenario."""
    return row["layouts"][layout]["models"][model][cls]["misses"]


def walks(row, layout, model=MAIN, cls="bpf"):
    """Walks of a scenario."""
    return row["layouts"][layout]["models"][model][cls]["walks"]


def modelled(data):
    """Every scenario under every model: (where, row, model)."""
    for rows, models, where in [("hot", "models", ""), ("hot_max", "models", ", -cpu max"), ("hot_sense", "sense_models", ""),
                                ("hot_16k", "models", ", 16 KiB pages")]:
        for row in data.get(rows, []):
            for model in data[models]:
                yield where, row, model


def worse(data):
    """Where the module (near, as it is by default) has more of something than stock."""
    found = []
    for where, row, model in modelled(data):
        for cls in ["bpf", "kernel", "user"]:
            for what, count in [("misses", misses), ("walks", walks)]:
                stock, ours = (count(row, layout, model, cls) for layout in ["stock", "near"])
                if ours > stock:
                    found.append((scenario_name(row) + where, f"{cls} {what}, {model}, {row['rounds']} rounds", stock, ours))
    for row in data["life"]:
        name = f"{row['bytes']} B beside {row['live']} live"
        stock, ours = row["layouts"]["stock"], row["layouts"]["near"]
        for what in ["insns", "tlbi", "ic_ivau", "isb"]:
            if ours["load"][what][1] > stock["load"][what][1]:
                found.append((name, f"{what} of a load, at most", stock["load"][what][1], ours["load"][what][1]))
            for count in stock["frees"]:
                if ours["frees"][count][what] > stock["frees"][count][what]:
                    # Less than the background's own change says nothing.
                    if what == "insns" and ours["frees"][count][what] - stock["frees"][count][what] <= sum(
                            side["frees"][count]["insns_uncertain"] for side in [stock, ours]):
                        continue
                    found.append((name, f"{what} of freeing {count}", stock["frees"][count][what], ours["frees"][count][what]))
    first = {layout: data["life"][0]["layouts"][layout]["first"] for layout in ["stock", "near"]}
    for what in ["insns", "tlbi", "ic_ivau", "isb"]:
        if first["near"][what] > first["stock"][what]:
            found.append(("256 B with nothing live", f"{what} of the first load", first["stock"][what], first["near"][what]))
    for row in data["memory"]:
        stock, ours = (sum(who["bytes"] for who in row["layouts"][layout].values()) for layout in ["stock", "near"])
        if ours > stock:
            found.append((f"{row['live']} programs, mix {row['mix']}", "bytes reserved", stock, ours))
    for row in data["sgi"]:
        stock, ours = row["layouts"]["stock"], row["layouts"]["near"]
        for what, s, o in [("a load", stock["load"], ours["load"])] + [
                (f"freeing {count}", stock["frees"][count], ours["frees"][count]) for count in stock["frees"]]:
            if o[1] > s[1]:
                found.append((f"{row['bytes']} B beside {row['live']} live, {row['cpus']} CPUs", f"function-call SGI of {what}, at most", s[1], o[1]))
    return found + compiler.worse(data["compiler"]) + calls.worse(data["calls"]) + direct.worse(data["direct"])


def scenario_name(row):
    """A scenario in words."""
    mix = f"{row['mix']} B" if row["mix"].isdigit() else row["mix"]
    return f"{mix}, {row['live']} live, {row['hot']} hot, {row['place']}, {row['temperature']}"


def threshold(data, place, layout="stock"):
    """The largest hot set of the realistic sweep that fits and the smallest that does not."""
    fits = grows = None
    rows = [row for row in data["hot"] if row["mix"] == "realistic" and row["temperature"] == "warm"
            and row["live"] == 1000 and (row["place"] == place or row["hot"] == row["live"])]
    for row in sorted(rows, key=lambda row: row["hot"]):
        pages = row["layouts"][layout]["hot_pages"]
        if misses(row, layout) / row["rounds"] < FITS * pages:
            fits = row
        else:
            grows = grows or row
    return fits, grows


def collect(directory):
    """Everything that the report says."""
    runs = load(directory)
    data = {
        "environment": (directory / "environment").read_text().splitlines(),
        "layouts": LAYOUTS,
        "geometries": runs["stock"].header["models"],
        "models": [model["model"] for model in runs["stock"].header["models"]],
        "runs": {name: {"layout": run.layout, "cpu": run.cpu, "suite": run.suite, "cpus": run.cpus, "flavour": run.flavour,
                        "instructions": run.total["insns"],
                        "hits_checked": sum(m["stale_checked"] for m in run.total["models"]),
                        "walks_checked": sum(m["walks_checked"] for m in run.total["models"])}
                 for name, run in runs.items()},
        "repeated": [name for name in runs if name.endswith("-again")],
        "hot": hot_rows(runs), "life": life_rows(runs), "sgi": sgi_rows(runs),
        "memory": memory_rows(runs), "init": init_rows(runs),
        "sizes": sizes_of(runs), "compiler": compiler.rows(runs), "calls": calls.rows(runs),
        "direct": direct.rows(runs, directory), "hardware": hardware.rows(directory, plan(directory)),
        "not_run": list(NOT_RUN), "limits": LIMITS,
    }
    if "stock-max" in runs:
        data["hot_max"], data["life_max"] = hot_rows(runs, "-max"), life_rows(runs, "-max")
        data["hot_sense"], data["hot_16k"] = hot_rows(runs, "-sense"), hot_rows(runs, "-16k")
        data["sense_models"] = [model["model"] for model in runs["stock-sense"].header["models"]]
    else:
        data["not_run"].insert(0, ("-cpu max, layout C64, the kernel with 16 KiB pages, coalescing and data=on, more than two CPUs", "only in the full run"))
    if not data["sgi"]:
        data["not_run"].insert(0, ("function-call interrupts", "the plan had no guest with several CPUs"))
    if not any(row["live"] >= 10000 for row in data["life"]):
        data["not_run"].insert(0, ("10,000 live images", "only in the full run"))
    data["not_run"][:0] = direct.not_run(data["direct"])
    if not data["hardware"]:
        data["not_run"].append(("the events of real hardware", hardware.WHY_NOT))
    data["worse"] = worse(data)
    return data
