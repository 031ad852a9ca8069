# SPDX-License-Identifier: GPL-2.0
"""The leaves that map the linear map, before packs are made and after they are gone."""

from .compare import Worse, worse as more
from .runs import Runs, RunsError
from .text import number, section as titled, table

TITLE = "## The linear map"
SIDES = ["stock", "module"]
# What is counted, and how tables call it.
COUNTS = {
    "leaves": "leaves",
    "split": "2 MiB blocks that are split",
    "runs": "contiguous runs of 32 MiB",
    "gib_blocks": "blocks of 1 GiB",
}
# Memory of which the module has no 2 MiB block: it cannot leave whole what it does not get.
NO_BLOCKS = "no 2 MiB leaves in"


def rows(runs: Runs) -> list[dict] | None:
    """[before, after] of each count, of both sides; None where the plan has no such guest."""
    guests = runs.layouts("linear")
    if not guests:
        return None
    run = guests["both"]
    found: dict[tuple, dict] = {}
    for line in run.said("linear"):
        row = {what: line[what] for what in ["memory", "packs"]}
        row = found.setdefault(tuple(row.values()), row | {"sides": {}})
        row["sides"][line["side"]] = {what: line[what] for what in COUNTS}
    needed = {memory: SIDES for memory, _ in found} | {NO_BLOCKS: SIDES[1:]}
    for row in found.values():
        if set(row["sides"]) != set(needed[row["memory"]]):
            raise RunsError(f"{run.name}: {name_of(row)}: not both sides")
    first = next(iter(found.values()), None)
    if not first or not first["sides"]["module"]["runs"][0]:
        raise RunsError(f"{run.name}: a linear map without runs of 32 MiB has nothing to split")
    return list(found.values())


def name_of(row: dict) -> str:
    """Which packs."""
    packs = "1 pack" if row["packs"] == 1 else f"{row['packs']} packs"
    return f"{packs}, {row['memory']} memory"


def compared(found: list[dict] | None) -> list[dict]:
    """The rows that have both sides."""
    return [row for row in found or [] if set(row["sides"]) == set(SIDES)]


def added(found: list[dict], row: dict, what: str) -> list[int]:
    """How many more of something there are after these packs, and after the fewer ones before
    them on the same memory: stock and module."""
    first = next(one for one in found if one["memory"] == row["memory"])
    return [row["sides"][side][what][1] - first["sides"][side][what][0] for side in SIDES]


def worse(found: list[dict] | None) -> list[Worse]:
    """Where the module leaves more leaves, or blocks split."""
    result = []
    for row in compared(found):
        for what in ["leaves", "split"]:
            name = f"{COUNTS[what]} more in the linear map"
            result += more(name_of(row), name, *added(found, row, what))
    return result


def summary(found: list[dict] | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    parts = []
    for row in compared(found):
        leaves, split = (
            " → ".join(map(number, added(found, row, what))) for what in ["leaves", "split"]
        )
        parts.append(f"{name_of(row)}: {leaves} leaves, {split} split blocks")
    return [
        "* **The linear map** on a CPU with BBM level 3, more of it after packs were made and "
        f"freed, the fewer ones before them included: {'; '.join(parts)}."
    ]


def section(found: list[dict] | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, "Not run: the run is older than this part of the plan.")
    body = []
    for row in found:
        for side in row["sides"]:
            counts = row["sides"][side]
            cells = [change(*counts[what]) for what in COUNTS]
            body.append([row["memory"], row["packs"], side, *cells])
    return titled(
        TITLE,
        "A kernel on a CPU with BBM level 3 maps all memory with large blocks, and splits the "
        "ones that a pack's pages are in: before the packs were made → after they were freed, as "
        "the self-test `linear` counts them in the kernel's page tables. One guest with 4 GiB: "
        "first the module, whose packs of 2 MiB split no block (where a whole block of a run goes, "
        "15 are left, each a leaf), then the stock allocator, whose first image has room in its "
        "pack from boot. A map that was split stays so: later packs may use what is split "
        "already, and stock finds some runs broken that the module broke. Fragmented: huge pages "
        f'take all free blocks, and there are holes of 512 KiB. "{NO_BLOCKS} memory": the module '
        "with leaf=1, as where it finds no block. Such packs split blocks as stock's do; here they "
        "come last, on a map that is split already, and show nothing of it.",
        table(["memory", "packs", "", *COUNTS.values()], body),
    )


def change(before: int, after: int) -> str:
    """Before and after, or one number where they are the same."""
    return number(before) if before == after else f"{number(before)} → {number(after)}"
