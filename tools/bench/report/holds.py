# SPDX-License-Identifier: GPL-2.0
"""For how long the allocator's lock, which every load needs, is held."""

from . import direct
from .compare import Worse, worse as more
from .runs import Runs, RunsError
from .text import number, section as titled, table


def rows(runs: Runs) -> dict:
    """The longest hold; of stock, of the calls that were measured: it holds its lock in them."""
    guests = runs.layouts("holds", ["stock", "timed"])
    if not guests:
        raise RunsError("no guest for holds")
    timed = guests["timed"].said("hold")
    if len(timed) != 1:
        raise RunsError(f"{guests['timed'].name}: no longest hold")
    calls = direct.calls_of([guests["stock"]], "jit")
    held = [found[call]["insns"][1] for found in calls.values() for call in ["alloc", "free"]]
    live = max(live for live, _, _ in calls)
    return {"live": live, "stock": max(held), "module": timed[0]["instructions"]}


def worse(found: dict) -> list[Worse]:
    """Whether the module's is longer."""
    what = "longest hold of the allocator's lock"
    return more(f"{found['live']} images made and freed", what, found["stock"], found["module"])


def summary(found: dict) -> list[str]:
    """Lines for the head of the report."""
    pair = f"{number(found['stock'])} → {number(found['module'])}"
    return [f"* **The longest hold** of the allocator's lock, in instructions: {pair}."]


def section(found: dict) -> str:
    """The section of the report."""
    cells = [number(found["stock"]), number(found["module"])]
    return titled(
        "### The longest hold of the allocator's lock",
        f"A guest of its own makes {number(found['live'])} images of the realistic mix, frees "
        "1,000 of 256 B at once, then all; no other task waits. The stock allocator holds its "
        "mutex for the whole of an alloc and of a free: the longest of those that were measured, "
        "of 256 B beside that many; one that makes a pack, or frees a large image, is longer. The "
        "module's test build measures each hold by the clock, which counts instructions in steps "
        "of 16 here. "
        "Holds with an interrupt or another task in them do not count, as on the other side.",
        table(["", "stock", "module"], [["instructions with the lock held", *cells]]),
    )
