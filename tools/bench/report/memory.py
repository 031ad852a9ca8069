# SPDX-License-Identifier: GPL-2.0
"""Memory reserved for images."""

from .compare import Worse, worse as more
from .runs import Runs, RunsError
from .text import SHORT, in_order, mib, number, section as titled, table


def rows(runs: Runs) -> list[dict]:
    """Bytes reserved while the programs of each mix were loaded."""
    found: dict[tuple, dict] = {}
    for run in runs.of("main") + runs.of("large"):
        layout, pending = run.guest.layout, {}
        for line in run.lines:
            if line["line"] == "memory":
                pending[line["at"], line["who"]] = line
            elif line["line"] == "loaded":
                row = {"mix": line["mix"], "live": line["live"], "jited_bytes": line["bytes"]}
                row = found.setdefault((line["mix"], line["live"]), row | {"layouts": {}})
                row["layouts"][layout] = {
                    who: {what: pending["loaded", who][what] for what in ["packs", "bytes"]}
                    for who in ["stock", "module"]
                    if ("loaded", who) in pending
                }
    for row in found.values():
        if "module" not in row["layouts"]["near"] or "stock" not in row["layouts"]["stock"]:
            raise RunsError(f"no memory of {row['live']} programs, mix {row['mix']}")
    return list(found.values())


def total(row: dict, layout: str) -> int:
    """Bytes reserved, whoever holds them."""
    return sum(who["bytes"] for who in row["layouts"][layout].values())


def worse(found: list[dict]) -> list[Worse]:
    """Where the module reserves more."""
    result = []
    for row in found:
        where = f"{row['live']} programs, mix {row['mix']}"
        result += more(where, "bytes reserved", total(row, "stock"), total(row, "near"))
    return result


def summary(found: list[dict]) -> list[str]:
    """Lines for the head of the report."""
    row = next(row for row in found if (row["mix"], row["live"]) == ("realistic", 1000))
    before = row["layouts"]["near"]["stock"]["bytes"]
    return [
        f"* **Memory** for 1,000 programs of {number(row['jited_bytes'])} jited bytes: "
        f"{mib(total(row, 'stock'))} → {mib(total(row, 'near'))} (of that, {mib(before)} is "
        "stock's pack of programs made before the module)."
    ]


def section(found: list[dict]) -> str:
    """The section of the report."""
    layouts = in_order(found[0]["layouts"])
    body = []
    for row in found:
        for who in ["stock", "module"]:
            cells = [number(row["live"]), row["mix"], number(row["jited_bytes"]), who]
            for layout in layouts:
                part = row["layouts"].get(layout)
                cells.append(number(part[who]["bytes"]) if part and who in part else "none")
            body.append(cells)
    head = ["programs", "mix", "jited bytes", "reserved by", *(SHORT[name] for name in layouts)]
    return titled(
        "## Memory",
        "Bytes of pages reserved for images while the programs were loaded (packs and areas). The "
        "module keeps an emptied pack for some seconds, and stock's pack from before insmod "
        "stays. Earlier than here no machine can load the module: the guest inserts it before it "
        "loads any program, and stock has a pack by then, of programs that the kernel made for "
        "itself while it booted. A machine that inserts it later keeps as many packs of stock's as "
        "its programs had filled. Not shown: page tables and book-keeping.",
        table(head, body),
    )
