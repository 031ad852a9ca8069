# SPDX-License-Identifier: GPL-2.0
"""Prints the table of native/figures from what its guests left in a directory."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

WAYS = {"none": "no allocator", "redirected": "redirected", "native": "native"}
# What interrupts are counted for.
CALLS = [
    "nothing for ten seconds",
    "1,000 programs of one function",
    "100 programs of 64 functions",
]


class Run:
    """One guest: its own lines, and what the model counted in each region."""

    def __init__(self, directory: Path, way: str):
        self.said = whole(directory / f"{way}.costs") + whole(directory / f"{way}.calls")
        counted = lines_of(directory / f"{way}.json")
        self.regions = {line["region"]: line for line in counted if "region" in line}

    def least(self, counted: str, **wanted: str | int) -> int | None:
        """Returns the smallest such count in the regions of the guest's lines with these fields."""
        found = [
            self.regions[line["region"]][counted]
            for line in self.said
            if wanted.items() <= line.items() and not line.get("ticks") and not line.get("switches")
        ]
        return min(found, default=None)

    def interrupts(self, what: str) -> int | None:
        """Returns how often a CPU was interrupted to call a function for another meanwhile."""
        lines = (line for line in self.said if line.get("line") == "interrupts")
        return next((line["count"] for line in lines if line["what"] == what), None)


def lines_of(path: Path) -> list[dict]:
    """Returns the lines of a file that are JSON objects."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def whole(path: Path) -> list[dict]:
    """Returns the lines of a guest that came to its end."""
    said = lines_of(path)
    if not said or said.pop() != {"line": "end"}:
        raise SystemExit(f"{path.name}: the guest did not come to its end")
    return said


def rows() -> Iterator[tuple[str, Callable[[Run], int | None]]]:
    """Yields the name of each row and a function that reads it from a run."""

    def row(name: str, counted: str, **wanted: str | int) -> tuple:
        return name, lambda run: run.least(counted, **wanted)

    for size in (256, 16384):
        for call in ("alloc", "finalize", "free"):
            fields = {"line": "direct", "what": call, "bytes": size, "live": 1}
            yield row(f"{call}, {size} B: instructions at least", "insns", **fields)
            if call == "finalize":
                yield row(
                    f"{call}, {size} B: longest stretch with interrupts off",
                    "irqs_off_longest",
                    **fields,
                )
    for size in (256, 16384):
        fields = {"line": "load_free", "what": "load", "bytes": size}
        yield row(f"a whole load, {size} B: instructions at least", "insns", **fields)
    for what in CALLS:
        yield f"interrupts for calls, two CPUs: {what}", lambda run, what=what: run.interrupts(what)
    yield row("attaching an empty program: instructions", "insns", line="attach")
    yield row("1,000 calls of a traced function: instructions", "insns", line="entry", what="with")
    yield (
        "insmod: instructions",
        lambda run: run.regions[1]["insns"] if 1 in run.regions else None,
    )


def main() -> int:
    """Prints the table; returns the exit status."""
    directory = Path(sys.argv[1])
    runs = [Run(directory, way) for way in WAYS]
    print(f"|  | {' | '.join(WAYS.values())} |")
    print("|---|" + "---|" * len(runs))
    for name, read in rows():
        cells = ("–" if value is None else f"{value:,}" for value in map(read, runs))
        print(f"| {name} | {' | '.join(cells)} |")
    (boot,) = whole(directory / "none.boot")
    print(f"\nImages of a boot in packs, with the module built in: {boot['in_packs']}; else none.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
