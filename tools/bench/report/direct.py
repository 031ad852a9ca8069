# SPDX-License-Identifier: GPL-2.0
"""The allocator called directly, without a verifier or a compiler."""

from collections.abc import Callable, Iterator

from .compare import Worse, worse as more
from .runs import COSTS, Run, Runs, RunsError, counts, less_idle, spreads
from .text import both, number, section as titled, table

# Who serves the calls: layout of the run, way in, and how tables call it.
WAYS = {
    "stock": ("stock", "jit", "stock"),
    "hooks": ("near", "jit", "module, through the hooks"),
    "calls": ("near", "abi", "module, called directly"),
}
TITLES = [title for *_, title in WAYS.values()]
CALLS = ["first alloc", "last free", "alloc", "finalize", "free"]
MASKED = "irqs_off"
# More of these is worse; how tables call them.
FIGURES = {
    "insns": COSTS["insns"],
    MASKED: "longest stretch of instructions with interrupts off",
    **{what: name for what, name in COSTS.items() if what not in ["insns", "tlbi_repeat"]},
}
# The counts of a batch of frees.
SUMS = {what: name for what, name in FIGURES.items() if what != MASKED}


def counted(run: Run, line: dict) -> dict:
    """What a region of a direct call cost."""
    region = run.region(line)
    return counts(region) | {MASKED: region["irqs_off_longest"]}


def lines_of(runs: list[Run], via: str) -> Iterator[tuple[Run, dict]]:
    """The lines about calls that went this way."""
    for run in runs:
        for line in run.said("direct"):
            if line["via"] == via:
                yield run, line


def calls_of(runs: list[Run], via: str) -> dict:
    """The calls of some runs: {(live, state, bytes): {call: {figure: [smallest, largest]}}}."""
    found: dict[tuple, dict] = {}
    for run, line in lines_of(runs, via):
        if line["what"] not in CALLS:
            continue
        if run.guest.cpus == 1 and (line["ticks"] or line["switches"]):
            raise RunsError(f"{run.name}: a timer tick or another task in region {line['region']}")
        calls = found.setdefault((line["live"], line["state"], line["bytes"]), {})
        calls.setdefault(line["what"], []).append(counted(run, line))
    return {
        key: {call: spreads(repeats) for call, repeats in calls.items()}
        for key, calls in found.items()
    }


def batches_of(runs: list[Run], via: str) -> dict:
    """Frees of many images and the work done later for them: {live: {...}}, less an idle time."""
    lines = [(line, counted(run, line)) for run, line in lines_of(runs, via)]
    found = {}
    for index, (line, whole) in enumerate(lines):
        if line["what"] != "batch":
            continue
        (before, idle), (inner, calls), (after, later) = (lines[index + i] for i in (-1, 1, 2))
        if (before["what"], inner["what"], after["what"]) != ("idle", "calls", "idle"):
            raise RunsError(f"{runs[0].name}: a batch of frees is not between two idle windows")
        net = less_idle(whole, idle, later)
        found[line["live"]] = {
            "count": line["count"],
            "bytes": line["bytes"],
            "calls": calls,
            "later": {what: net[what] - calls[what] for what in calls},
            "insns_uncertain": net["insns_uncertain"],
        }
    return found


def by_way(runs: Runs, purposes: list[str], read: Callable[[list[Run], str], dict]) -> dict:
    """What `read` finds in the runs that each way has, by way; the same keys for all ways."""
    found = {}
    for way, (layout, via, _) in WAYS.items():
        served = [run for purpose in purposes for run in runs.of(purpose)]
        found[way] = read([run for run in served if run.guest.layout == layout], via)
        if not found[way] or found[way].keys() != found["stock"].keys():
            raise RunsError(f"{way}: direct calls are missing")
    return found


def call_rows(runs: Runs, purposes: list[str]) -> list[dict]:
    """A row for each number of live images, state and size."""
    ways = by_way(runs, purposes, calls_of)
    rows_ = []
    for key, calls in ways["stock"].items():
        for way, found in ways.items():
            if list(found[key]) != list(calls):
                raise RunsError(f"{way}: not all direct calls for {key}")
        row = dict(zip(["live", "state", "bytes"], key, strict=True), calls=list(calls))
        rows_.append(row | {"ways": {way: found[key] for way, found in ways.items()}})
    return rows_


def check_masked(runs: Runs) -> None:
    """The model must count a stretch with interrupts off whose length the guest knows."""
    for layout, run in runs.layouts("main").items():
        lines = run.said("masked")
        if layout in ["stock", "near"] and not lines:
            raise RunsError(f"{run.name}: no known stretch with interrupts off")
        for line in lines:
            seen, known = run.region(line)["irqs_off_longest"], line["instructions"]
            if seen != known:
                raise RunsError(
                    f"{run.name}: {known} instructions with interrupts off counted as {seen}"
                )


def rows(runs: Runs) -> dict:
    """Calls beside live images, and batches of frees."""
    check_masked(runs)
    batches = by_way(runs, ["main", "huge"], batches_of)
    return {
        "lives": call_rows(runs, ["main", "huge"]),
        "newer_cpu": call_rows(runs, ["newer_cpu"]) if runs.of("newer_cpu") else [],
        "batches": [
            {"live": live, "ways": {way: found[live] for way, found in batches.items()}}
            for live in batches["stock"]
        ],
    }


def worse(found: dict) -> list[Worse]:
    """Where the module, through its hooks, has more of something than stock."""
    result = []
    for rows_, title in [(found["lives"], ""), (found["newer_cpu"], ", -cpu max")]:
        for row in rows_:
            where = f"{row['bytes']} B, direct call beside {row['live']} live, {row['state']}"
            for call in row["calls"]:
                for figure, name in FIGURES.items():
                    pair = [row["ways"][way][call][figure][1] for way in ("stock", "hooks")]
                    what = f"{name} of a direct {call}, at most"
                    result += more(where + title, what, *pair)
    for row in found["batches"]:
        sides = [row["ways"][way] for way in ("stock", "hooks")]
        where = f"{sides[0]['count']} × {sides[0]['bytes']} B freed beside {row['live']} live"
        for figure, name in SUMS.items():
            pair = [side["calls"][figure] + side["later"][figure] for side in sides]
            slack = sum(side["insns_uncertain"] for side in sides) if figure == "insns" else 0
            result += more(where, f"{name} of freeing many by direct calls", *pair, slack)
    return result


def in_short(found: dict, call: str) -> str:
    """A call of 256 B beside the fewest and the most live images, in words."""
    few = [
        row
        for row in found["lives"]
        if (row["bytes"], row["state"]) == (256, "fresh") and call in row["calls"]
    ]
    ends = [min(few, key=lambda row: row["live"]), max(few, key=lambda row: row["live"])]
    parts = []
    for row in ends:
        pair = [both(row["ways"][way][call]["insns"]) for way in ("stock", "hooks")]
        parts.append(f"{' → '.join(pair)} beside {row['live']:,} live")
    return ", ".join(parts)


def summary(found: dict) -> list[str]:
    """Lines for the head of the report."""
    calls = "; ".join(f"{call} {in_short(found, call)}" for call in ["alloc", "finalize", "free"])
    return [f"* **The allocator's own calls** for 256 B, in instructions: {calls}."]


def figure_table(rows_: list[dict], figure: str, title: str) -> str:
    """One figure of every call that has any of it."""
    body = []
    for row in rows_:
        for call in row["calls"]:
            stock, hooks, calls = (row["ways"][way][call][figure] for way in WAYS)
            if any(map(any, (stock, hooks, calls))):
                line = [number(row["live"]), row["state"], number(row["bytes"]), call]
                line += [both(cell) for cell in (stock, hooks, calls)]
                body.append([*line, number(hooks[0] - calls[0]), number(hooks[0] - stock[0])])
    head = ["live", "state", "bytes", "call", *TITLES, "hook alone", "through the hooks − stock"]
    return titled(f"#### {title}", table(head, body) if body else "None in any call.")


def batch_table(found: list[dict]) -> str:
    """Frees with their deferred part, for each of them."""
    body = []
    for row in found:
        for figure, title in SUMS.items():
            ways = [row["ways"][way] for way in WAYS]
            if not any(way[part][figure] for way in ways for part in ["calls", "later"]):
                continue
            for part, name in [("calls", "in the calls"), ("later", "later")]:
                cells = []
                for way in ways:
                    text = f"{way[part][figure] / way['count']:,.2f}"
                    if figure == "insns" and part == "later":
                        text += f" ± {way['insns_uncertain'] / way['count']:,.0f}"
                    cells.append(text)
                body.append([number(row["live"]), title, name, *cells])
    return table(["live", "", "", *TITLES], body)


def section(found: dict) -> str:
    """The section of the report."""
    one = found["batches"][0]["ways"]["stock"]
    parts = [
        titled(
            "## The allocator, called directly",
            "A kernel module plays a JIT: no verifier, no compiler. It calls the kernel's entry "
            "points for its JIT (bpf_prog_pack_alloc(), bpf_jit_binary_pack_finalize(), "
            "bpf_prog_pack_free()), which lead to the stock allocator or through the module's "
            'hooks, and the module\'s own three functions. "Hook alone" is the difference of the '
            "last two. Each call is a region without a timer tick, four repeats: "
            "smallest..largest; differences are those of the smallest. Fresh: the live images of "
            "the realistic mix were made in order; churn: then a random half of them was freed and "
            "made again in other sizes. First alloc: no pack has room; last free: of the only "
            "image in a pack. A finalize ends with work that earlier frees left: its smallest had "
            "no such frees before it. Freeing the buffer is part of each finalize.",
        )
    ]
    for figure, title in FIGURES.items():
        parts.append(figure_table(found["lives"], figure, title[0].upper() + title[1:]))
    parts.append(
        "Interrupts off: from the write that masks to the one that unmasks, without exceptions "
        "in between.\n"
    )
    if found["newer_cpu"]:
        parts.append(figure_table(found["newer_cpu"], "insns", f"-cpu max: {FIGURES['insns']}"))
    parts.append(
        titled(
            "### A free with its deferred part",
            f"{one['count']} images of {one['bytes']} B are freed in a row. For each of them: in "
            "the calls, and later, in the 2.5 s after them, less the mean of such times before "
            "and after in which nothing is freed (± half their difference).",
            batch_table(found["batches"]),
        )
    )
    return "\n".join(parts)
