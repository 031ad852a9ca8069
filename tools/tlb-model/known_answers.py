#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks the JSON lines of known-answers.sh; KTAP rows on standard output.

Usage: known_answers.py DIRECTORY

Each row says what was expected and what was seen. A file that is missing fails
the rows that need it; NAME.skip in its place skips them.
"""

import itertools
import json
import pathlib
import statistics
import sys
from collections.abc import Callable

Look = Callable[[], object]
Test = Callable[[object], bool]

# The slow mode, with a lookup in every block, may change only how often the model is asked.
ASKED = {"lookups", "mmu_off", "stale_checked"}


class Run:
    """The lines of one run."""

    def __init__(self, path: pathlib.Path):
        self.text = path.read_text()
        lines = [json.loads(line) for line in self.text.splitlines()]
        self.header = lines[0]
        self.total = lines[-1]
        if self.header["line"] != "header" or self.total["line"] != "total":
            raise ValueError(f"{path.name} is not complete")
        self.regions = {line["region"]: line for line in lines[1:-1]}

    def model(self, region: int | str, model: int = 0) -> dict:
        """A model's counters in a region, or in the whole run."""
        line = self.total if region == "total" else self.regions[region]
        return line["models"][model]

    def count(self, region: int | str, cls: str, what: str, model: int = 0) -> int:
        """Misses or walks of a class in a region."""
        return self.model(region, model)["class"][cls][what]


class Report:
    """Numbers the rows and remembers failures."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.rows = []
        self.failed = 0
        self.cache = {}

    def run(self, name: str) -> Run:
        """The run of that name, read once."""
        if name not in self.cache:
            self.cache[name] = Run(self.directory / f"{name}.json")
        return self.cache[name]

    def row(self, name: str, expected: object, look: Look, test: Test | None = None) -> None:
        """One row: `look` returns what is seen; equal to `expected`, or `test` of it is true."""
        try:
            seen = look()
            good = seen == expected if test is None else test(seen)
        except FileNotFoundError as why:
            seen, good = f"no {pathlib.Path(why.filename).name}", False
        except (ValueError, LookupError, ArithmeticError) as why:
            seen, good = f"{type(why).__name__}: {why}", False
        self.failed += not good
        self.rows.append(
            f"{'ok' if good else 'not ok'} {len(self.rows) + 1} {name}: "
            f"expected {expected}, seen {seen}"
        )

    def between(self, name: str, low: float, high: float, look: Look) -> None:
        """A row whose number lies in a band, both ends included."""
        self.row(name, f"{low} to {high}", look, lambda seen: low <= seen <= high)

    def skip(self, name: str, why: str) -> None:
        """A row that cannot be checked."""
        self.rows.append(f"ok {len(self.rows) + 1} {name} # SKIP {why}")

    def print(self) -> None:
        """All rows, with the plan in front."""
        print(f"1..{len(self.rows)}")
        print("\n".join(self.rows))


def pages(report: Report, name: str, levels: int) -> None:
    """Loops over pages that hold a `ret`."""

    def run() -> Run:
        return report.run(name)

    for region, what, misses, walks in [
        (1, "40 pages x 1000", 0, 0),
        (2, "64 pages x 1000", 64_000, 0),
        (3, "600 pages x 100", 60_000, 0),
        (4, "2000 pages x 100", 200_000, 200_000),
        (5, "64 pages in one 2 MiB page x 1000", 0, 0),
        (6, "2000 pages in 2 MiB pages x 100", 0, 0),
        # The loop is on a page of its own.
        (7, "40 pages x 100, flushed each round", 4_100, 4_100),
    ]:
        report.row(
            f"{name}: {what}: misses and walks, LRU",
            (misses, walks),
            lambda r=region: (run().count(r, "user", "misses"), run().count(r, "user", "walks")),
        )
    report.row(
        f"{name}: descriptors per walk",
        levels,
        lambda: run().model(4)["descriptor_reads"] / run().count(4, "user", "walks"),
    )
    report.between(
        f"{name}: 64 pages x 1000: misses, random",
        30_000,
        33_000,
        lambda: run().count(2, "user", "misses", 1),
    )

    def leaves(region: int) -> dict:
        return {size: n for size, n in run().count(region, "user", "leaves").items() if n}

    report.row(f"{name}: leaves of 40 pages and the loop", {"4K": 41}, lambda: leaves(101))
    report.row(
        f"{name}: leaves of 64 pages in one 2 MiB page", {"4K": 1, "2M": 1}, lambda: leaves(105)
    )
    report.row(
        f"{name}: leaves of 2000 pages in 2 MiB pages", {"4K": 1, "2M": 4}, lambda: leaves(106)
    )


def chains(report: Report, name: str) -> None:
    """Chains of BPF programs on the stock kernel."""

    def run() -> Run:
        return report.run(name)

    # They fit; a timer tick's kernel text evicts some of them.
    report.between(
        f"{name}: bpf, 35 pages x 1000: misses, LRU",
        1,
        700,
        lambda: run().count(10, "bpf", "misses"),
    )
    report.row(f"{name}: bpf, 35 pages x 1000: walks", 0, lambda: run().count(10, "bpf", "walks"))
    report.row(
        f"{name}: bpf, 100 pages x 1000: misses and walks, LRU",
        (100_000, 0),
        lambda: (run().count(11, "bpf", "misses"), run().count(11, "bpf", "walks")),
    )
    report.between(
        f"{name}: bpf, 100 pages x 1000: misses, random",
        82_000,
        85_000,
        lambda: run().count(11, "bpf", "misses", 1),
    )
    report.row(
        f"{name}: bpf, 100 pages, first run: walks, all of 4K leaves",
        (100, 100),
        lambda: (run().count(111, "bpf", "walks"), run().count(111, "bpf", "leaves")["4K"]),
    )


def teeth(report: Report, name: str, repeat: int) -> None:
    """The remap and fork programs with everything on."""

    def run() -> Run:
        return report.run(name)

    report.row(
        f"{name}: remap: stale hits and walks",
        (0, 400),
        lambda: (run().model(8)["stale_hits"], run().count(8, "user", "walks")),
    )
    report.row(
        f"{name}: remap: broadcast TLBI by address, of these repeated",
        (800 + repeat, repeat),
        lambda: (run().regions[8]["tlbi"]["va"]["inner"], run().regions[8]["tlbi_repeat"]),
    )
    report.row(f"{name}: fork: stale hits", 0, lambda: run().model(9)["stale_hits"])
    report.between(
        f"{name}: fork: ASID switches", 390, 410, lambda: run().regions[9]["asid_switches"]
    )


def checks(report: Report, name: str) -> None:
    """The checks of the model against QEMU, over a whole run."""

    def run() -> Run:
        return report.run(name)

    def total(what: str) -> int:
        return sum(model[what] for model in run().total["models"])

    report.row(f"{name}: stale hits", 0, lambda: total("stale_hits"))
    report.row(
        f"{name}: hits checked",
        "more than 10 million",
        lambda: total("stale_checked"),
        lambda seen: seen > 10_000_000,
    )
    report.row(f"{name}: walks that differ from QEMU's", 0, lambda: total("walks_wrong"))
    report.row(
        f"{name}: walks checked",
        "more than 100,000",
        lambda: total("walks_checked"),
        lambda seen: seen > 100_000,
    )
    report.row(
        f"{name}: markers that made no sense, regions left open",
        (0, 0),
        lambda: (run().total["marker_errors"], run().total["open_regions"]),
    )


def blinded(report: Report) -> None:
    """The staleness check must see that TLBI or ASID handling is off."""

    def stale(name: str, region: int) -> int:
        return report.run(name).model(region)["stale_hits"]

    def walks(name: str) -> int:
        return report.run(name).count(8, "user", "walks")

    report.row(
        "TLBI handling off: remap: stale hits and walks",
        (200, 1),
        lambda: (stale("tlbi-off", 8), walks("tlbi-off")),
    )
    report.row("ASID handling off: remap: walks", 1, lambda: walks("asid-off"))
    report.row(
        "ASID handling off: stale hits",
        "at least 1000",
        lambda: report.run("asid-off").model("total")["stale_hits"],
        lambda seen: seen >= 1000,
    )
    report.row(
        "ASID handling off: fork: stale hits",
        "more than 0",
        lambda: stale("asid-off", 9),
        lambda seen: seen > 0,
    )


def without(value: object, names: set[str]) -> object:
    """The same JSON without the members of these names."""
    if isinstance(value, dict):
        return {key: without(member, names) for key, member in value.items() if key not in names}
    if isinstance(value, list):
        return [without(member, names) for member in value]
    return value


def differences(a: object, b: object, path: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [where for key in a for where in differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [
            where
            for i, pair in enumerate(zip(a, b, strict=True))
            for where in differences(*pair, f"{path}[{i}]")
        ]
    return [] if a == b else [f"{path} {a} {b}"]


def repeats(report: Report) -> None:
    """Two runs, and the slow mode."""

    def different() -> int:
        first, second = (report.run(name).text.splitlines() for name in ["max", "max-again"])
        return sum(a != b for a, b in itertools.zip_longest(first, second))

    def slow() -> list[str]:
        fast, slow = report.run("max"), report.run("max-slow")
        pairs = [(fast.total, slow.total)] + [
            (fast.regions[r], slow.regions[r]) for r in fast.regions
        ]
        return [
            where for a, b in pairs for where in differences(without(a, ASKED), without(b, ASKED))
        ]

    report.row("two runs: lines that differ", 0, different)
    report.row("slow mode: counters that differ", [], slow)
    report.row(
        "slow mode: lookups",
        "more than twice as many",
        lambda: (
            report.run("max-slow").total["class"]["kernel"]["lookups"]
            / report.run("max").total["class"]["kernel"]["lookups"]
        ),
        lambda seen: seen > 2,
    )


def begin(report: Report) -> None:
    """A run that counts from the marker for that on."""

    def user(run: Run, region: int) -> dict:
        """What does not depend on what ran before."""
        return run.model(region)["class"]["user"] | {"insns": run.regions[region]["insns"]}

    def different() -> list[int]:
        whole, part = report.run("max"), report.run("begin")
        pages = [*range(1, 8), *range(101, 108)]
        return [r for r in pages if user(whole, r) != user(part, r)]

    report.row("begin: page loops with other misses or walks, LRU", [], different)
    teeth(report, "begin", 0)
    report.row(
        "begin: walks that differ from QEMU's",
        0,
        lambda: sum(model["walks_wrong"] for model in report.run("begin").total["models"]),
    )
    report.row(
        "begin: markers before it, regions left open",
        (1, 0),
        lambda: tuple(
            report.run("begin").total[what] for what in ["marker_errors", "open_regions"]
        ),
    )
    report.row(
        "begin: instructions of a whole run that are not counted",
        "more than 10^9: those of booting",
        lambda: report.run("max").total["insns"] - report.run("begin").total["insns"],
        lambda seen: seen > 10**9,
    )


def module(report: Report) -> None:
    """The chain in a pack of bpf_pack.ko."""
    for name in ["module-near", "module-far"]:
        if (report.directory / f"{name}.skip").exists():
            report.skip(f"{name}: bpf, 100 pages", "bpf_pack.ko was not built")
            continue

        def run(name: str = name) -> Run:
            return report.run(name)

        report.row(
            f"{name}: bpf, 100 pages x 1000: misses and walks, LRU",
            (0, 0),
            lambda run=run: (run().count(11, "bpf", "misses"), run().count(11, "bpf", "walks")),
        )
        report.row(
            f"{name}: bpf, 100 pages, first run: walks, of 2M leaves",
            (1, 1),
            lambda run=run: (
                run().count(111, "bpf", "walks"),
                run().count(111, "bpf", "leaves")["2M"],
            ),
        )
        report.row(
            f"{name}: stale hits, walks that differ",
            (0, 0),
            lambda run=run: (
                run().model("total")["stale_hits"],
                run().model("total")["walks_wrong"],
            ),
        )


def seeds(report: Report) -> None:
    """Mean and range of the random policy over the seeds; for information."""
    run = report.run("n1")
    for region, cls in [(2, "user"), (11, "bpf")]:
        values = [
            run.count(region, cls, "misses", i)
            for i, model in enumerate(run.header["models"])
            if model["policy"] == "random"
        ]
        print(
            f"# n1: region {region}, random, {len(values)} seeds: misses "
            f"{statistics.mean(values):.0f} ({min(values)} to {max(values)})"
        )


def main() -> int:
    """Checks everything; returns the exit status."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    report = Report(pathlib.Path(sys.argv[1]))
    for name, levels, repeat in [("max", 5, 0), ("n1", 4, 800)]:
        pages(report, name, levels)
        teeth(report, name, repeat)
        chains(report, name)
        checks(report, name)
    blinded(report)
    repeats(report)
    begin(report)
    module(report)
    report.print()
    if not report.failed:
        seeds(report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
