#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the plan and of the report, with the runs in sample/ or with others.

Usage: test_report.py [RUNS]
       test_report.py --accept    make sample/expected.md anew, for a report that was changed

Prints KTAP lines. The report of good runs must be the expected one; spoiled copies of them
must give no report and say why; figures that were made worse must be named.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from collections.abc import Callable

import ktap
import plan
from report import __main__ as command, entropy, environment, fragmentation, goals, readme, subjects

HERE = pathlib.Path(__file__).parent
SAMPLE = HERE / "sample"
README = HERE.parents[1] / "README.md"
SOURCE = SAMPLE
Change = Callable[[dict], dict | None]


def edit(path: pathlib.Path, change: Change) -> None:
    """Rewrites the JSON lines of a file; `change` returns the new line, or None to drop it."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    if path.is_symlink():
        path.unlink()
    changed = [line for line in map(change, lines) if line is not None]
    path.write_text("".join(json.dumps(line) + "\n" for line in changed))


def where(change: Callable[[dict], object], **wanted: object) -> Change:
    """A change of the lines that have these members; None from `change` keeps the line's object."""

    def one(line: dict) -> dict | None:
        if all(line.get(name) == value for name, value in wanted.items()):
            result = change(line)
            return line if result is None else result or None
        return line

    return one


def drop(_line: dict) -> dict:
    """A change that drops a line."""
    return {}


def put(**members: object) -> Callable[[dict], None]:
    """A change that sets members of a line."""
    return lambda line: line.update(members)


def more(name: str, count: int = 1) -> Callable[[dict], None]:
    """A change that adds to a member of a line."""
    return lambda line: line.update({name: line[name] + count})


def total(what: str) -> Change:
    """Counts one more of something in the total of the first model."""
    return where(lambda line: line["models"][0].update({what: 1}), line="total")


def region_of(runs: pathlib.Path, guest: str, **wanted: object) -> int:
    """The region of the first line that has these members."""
    for line in map(json.loads, (runs / f"{guest}.guest").read_text().splitlines()):
        if all(line.get(name) == value for name, value in wanted.items()):
            return line["region"]
    raise LookupError(f"{guest}: no line {wanted}")


# What is spoiled: the file, the change, and what the report's command must say.
SPOILED: dict[str, tuple[str, Change, str]] = {
    "a stale hit": ("stock.json", total("stale_hits"), "stock: n1/lru: stale_hits: 1"),
    "a wrong walk": ("stock.json", total("walks_wrong"), "stock: n1/lru: walks_wrong: 1"),
    "a model without checks": (
        "stock.json",
        where(lambda line: line["models"][0].update(stale_checked=0), line="total"),
        "n1/lru was not checked",
    ),
    "a marker error": (
        "stock.json",
        where(put(marker_errors=1), line="total"),
        "stock: marker_errors: 1",
    ),
    "a run that does not repeat": (
        "near-again.json",
        where(more("insns"), region=1),
        "near-again: differs from the first run",
    ),
    "a region twice": (
        "stock.json",
        where(put(region=1001), region=1000),
        "stock: region 1001 twice",
    ),
    "a scenario that is missing": (
        "near.guest",
        where(drop, line="hot", hot=100, place="dense"),
        "near: no row",
    ),
    "a scenario in which nothing runs": (
        "stock.json",
        where(lambda line: line.get("class") and line["class"]["bpf"].update(insns=0)),
        "no BPF instruction was executed",
    ),
    "a guest without its end": (
        "page-compiler.guest",
        where(drop, line="end"),
        "page-compiler: the guest did not come to its end",
    ),
    "a run that is missing": (
        "far-kaslr.json",
        where(drop),
        "far-kaslr: the model's output is not complete",
    ),
    "a clock that disagrees": (
        "stock.guest",
        where(more("ns", 1000), line="load_free", what="load"),
        "ns of virtual time",
    ),
    "frees without an idle window": (
        "near.guest",
        where(put(what="free"), line="load_free", what="idle"),
        "near: a window with frees is not between two without",
    ),
    "a mix whose sizes are not known": (
        "stock.guest",
        where(lambda line: line.pop("recorded") and None, line="loaded"),
        "KeyError: 'recorded'",
    ),
    "a compiler that did something else": (
        "far-compiler.guest",
        where(put(sha256="0"), line="object"),
        "far: the compiler did something else than with stock",
    ),
    "a compiler that nothing ran beside": (
        "page-compiler.guest",
        where(put(rounds=0), line="compiler"),
        "page-compiler: no program ran beside the compiler",
    ),
    "calls that are missing": (
        "near-kaslr.guest",
        where(drop, helpers=20),
        "calls: not the same in all layouts",
    ),
    "a function that is missing": (
        "stock-kaslr.guest",
        where(drop, line="entry", what="with"),
        "stock-kaslr: calls are missing",
    ),
    "a tick in a direct call": (
        "stock.guest",
        where(more("ticks"), line="direct", what="finalize"),
        "stock: a timer tick or another task in region",
    ),
    "direct calls that are missing": (
        "near.guest",
        where(drop, line="direct", via="abi"),
        "calls: direct calls are missing",
    ),
    "a model of fragmentation that the guest contradicts": (
        "stock-holds.guest",
        where(put(digest="0" * 16), line="random"),
        "digest 0000000000000000 in the guest",
    ),
    "a model of fragmentation without an allocator": (
        "fragmentation.json",
        where(drop, allocator="module"),
        "the model of fragmentation is not complete",
    ),
    "a stretch with interrupts off that was counted wrongly": (
        "stock.guest",
        where(more("instructions"), line="masked"),
        "instructions with interrupts off counted as",
    ),
    "a hold that is missing": (
        "timed-holds.guest",
        where(drop, line="hold"),
        "timed-holds: no longest hold",
    ),
    "memory that is missing": ("near.guest", where(drop, line="memory"), "no memory of"),
    "a guest with several CPUs that is missing": (
        "plan",
        where(drop, name="near-smp2-1"),
        "not the same number for each layout",
    ),
    "places of programs that are missing": (
        "near-entropy.guest",
        where(drop, line="places", randomize=1),
        "near-entropy: no places of programs",
    ),
    "a stock kernel that is at one place": (
        "stock-entropy-2.guest",
        where(put(text=18446677399572578304), line="places"),
        "the stock kernel was not at another place each time",
    ),
    "synchronisations that the other CPUs did not notice": (
        "near-syncs-1.guest",
        where(put(calls=0), line="syncs", functions=64),
        "near-syncs-1: the module counted 10 synchronisations, the other CPUs noticed 0",
    ),
    "synchronisations that nobody noticed": (
        "stock-syncs-1.guest",
        where(put(calls=0), line="syncs", functions=64),
        "stock-syncs-1: the other CPUs noticed no synchronisation at all",
    ),
    "a module without its counter": (
        "near-syncs-1.guest",
        where(put(inside=None), line="syncs", functions=64),
        "near-syncs-1: no count by the module itself",
    ),
    "frees whose synchronisations are missing": (
        "near-syncs-1.guest",
        where(drop, line="syncs", what="free"),
        "synchronisations of a free: not in the same guests",
    ),
    "a linear map of one side only": (
        "linear.guest",
        where(drop, line="linear", side="stock", packs=10),
        "linear: 10 packs, fresh memory: not both sides",
    ),
    "a linear map with nothing to split": (
        "linear.guest",
        where(put(runs=[0, 0]), line="linear"),
        "linear: a linear map without runs of 32 MiB has nothing to split",
    ),
    "no guest twice": ("plan", where(drop, name="near-again"), "no guest was run twice"),
    "a layout that is missing": (
        "plan",
        where(drop, name="far-compiler"),
        "no guest for compiler with layout far",
    ),
}


class Runs(unittest.TestCase):
    """Tests with a copy of the runs."""

    def setUp(self) -> None:
        """Copies the runs."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.out = pathlib.Path(directory.name)
        self.runs = self.out / "runs"
        shutil.copytree(SOURCE, self.runs)
        # Guests print more than JSON lines; the recorded ones have no others.
        for path in self.runs.glob("*.guest"):
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if line.startswith("{")))
        # What a run took is no matter here.
        environment = self.runs / "environment"
        lines = environment.read_text().splitlines(keepends=True)
        environment.write_text("".join(one for one in lines if not one.startswith("seconds: ")))

    def run_command(self) -> tuple[int, str]:
        """The exit status of the report's command, and what it said."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = command.main([str(self.runs), str(self.out)])
        return status, said.getvalue()

    def spoil(self, file: str, change: Change, message: str) -> None:
        """A spoiled copy gives no report and a message."""
        edit(self.runs / file, change)
        status, said = self.run_command()
        self.assertEqual(status, 1, said)
        self.assertIn(message, said)
        left = {path.name for path in self.out.iterdir()}
        self.assertEqual(left, {"runs"}, "the command left files")


class Spoiled(Runs):
    """Spoiled runs: one test for each entry of SPOILED."""


def add_spoiled() -> None:
    """Adds the tests of SPOILED."""
    for name, spoiled in SPOILED.items():

        def test(self: Spoiled, spoiled: tuple = spoiled) -> None:
            self.spoil(*spoiled)

        test.__doc__ = f"no report of {name}"
        setattr(Spoiled, f"test_{name.replace(' ', '_')}", test)


class Good(Runs):
    """Good runs."""

    maxDiff = None

    def test_report(self) -> None:
        """the report and the plots of good runs"""
        self.assertEqual(self.run_command(), (0, ""))
        data = json.loads((self.out / "report.json").read_text())
        self.assertEqual(list(data["subjects"]), list(subjects.SUBJECTS))
        text = (self.out / "report.md").read_text()
        if SOURCE == SAMPLE:
            expected = (SAMPLE / "expected.md").read_text()
            self.assertEqual(text.splitlines(), expected.splitlines())
        for name in ["misses", "alloc", "free"]:
            self.assertIn(f"({name}.svg)", text)
            xml.etree.ElementTree.parse(self.out / f"{name}.svg")

    def test_tables(self) -> None:
        """the report's tables have as many cells in each line as in their head"""
        for table in subjects.report(subjects.collect(self.runs)).split("\n\n"):
            lines = [line for line in table.splitlines() if line.startswith("|")]
            self.assertLessEqual(len({line.count("|") for line in lines}), 1, table)

    def test_readme(self) -> None:
        """the tables of README.md, written from these runs, have the right form"""
        data = subjects.collect(self.runs)
        text, left = readme.rewrite(README.read_text(), data)
        self.assertEqual(readme.complaints(text), [])
        full = environment.line_of(data["environment"], "plan") == "full"
        self.assertEqual(left, [] if full else ["figures-many", "goals"])
        self.assertEqual(readme.rewrite(text, data)[0], text, "a second time changes something")


class Worse(Runs):
    """Figures that were made worse must be named, with their values."""

    def grown(self, files: list[str], change: Change) -> list[dict]:
        """The figures that a change of these files adds to the list."""
        before = subjects.collect(self.runs)["worse"]
        for file in files:
            edit(self.runs / file, change)
        data = subjects.collect(self.runs)
        added = [one for one in data["worse"] if one not in before]
        text = subjects.report(data)
        for one in added:
            self.assertIn(f"| {one['where']} | {one['what']} | ", text)
        return added

    def assert_named(self, added: list[dict], where_: str, what: str, module: float) -> None:
        """One of the figures is this."""
        found = [(one["where"], one["what"], one["module"]) for one in added]
        self.assertIn((where_, what, module), found)

    def grow_region(self, guests: list[str], number: int, change: Callable) -> list[dict]:
        """The figures that a change of one region adds to the list."""
        return self.grown([f"{guest}.json" for guest in guests], where(change, region=number))

    def test_misses(self) -> None:
        """worse: misses of a scenario"""
        number = region_of(self.runs, "near", line="hot", hot=100, place="dense")

        def change(line: dict) -> None:
            line["models"][0]["class"]["bpf"]["misses"] = 12345

        added = self.grow_region(["near", "near-again"], number, change)
        name = "realistic, 1000 live, 100 hot, dense, warm"
        self.assert_named(added, name, "bpf misses, n1/lru, 20 rounds", 12345)

    def test_loads(self) -> None:
        """worse: TLBI of a load, instructions of freeing"""
        number = region_of(self.runs, "near", line="load_free", what="load", live=0)

        def change(line: dict) -> None:
            line["tlbi"].setdefault("va", {"inner": 0, "outer": 0})["inner"] = 500
            line["tlbi_repeat"] = 0
            line["tlbi"] = {"va": line["tlbi"]["va"]}

        added = self.grow_region(["near", "near-again"], number, change)
        self.assert_named(
            added, "256 B beside 0 live", "broadcast TLBI without repeats of a load, at most", 500
        )
        number = region_of(self.runs, "near", line="load_free", what="free", live=0, count=1)
        added = self.grow_region(["near", "near-again"], number, put(insns=10**9))
        self.assertIn("guest instructions of freeing 1", {one["what"] for one in added})

    def test_direct(self) -> None:
        """worse: a stretch with interrupts off in a direct call"""
        call = {"line": "direct", "via": "jit", "what": "finalize", "bytes": 65536, "live": 0}
        number = region_of(self.runs, "near", **call)
        added = self.grow_region(["near", "near-again"], number, put(irqs_off_longest=999999))
        name = "65536 B, direct call beside 0 live, fresh"
        what = "longest stretch of instructions with interrupts off of a direct finalize, at most"
        self.assert_named(added, name, what, 999999)

    def test_interrupts(self) -> None:
        """worse: interrupts between CPUs"""
        number = region_of(self.runs, "near-smp2-1", line="load_free", what="load")
        added = self.grow_region(["near-smp2-1"], number, put(sgi={"1": 77}))
        what = "function-call SGI of a load, at most"
        self.assert_named(added, "256 B beside 0 live, 2 CPUs", what, 77)

    def test_syncs(self) -> None:
        """worse: synchronisations of a load, interrupts of a free"""
        change = where(put(calls=10**6, inside=0), line="syncs", functions=64)
        added = self.grown(["near-syncs-1.guest"], change)
        name = "10 loads of 64 functions, 4 CPUs"
        self.assert_named(added, name, "synchronisations of all CPUs, at most", 333333.3)
        change = where(put(interrupts=10**6), line="syncs", what="free")
        added = self.grown(["near-syncs-1.guest"], change)
        name = "10,000 socket filters freed at once, 4 CPUs"
        self.assert_named(added, name, "function-call interrupts of all CPUs, at most", 10**6)

    def test_goals(self) -> None:
        """a goal that is not met is named, and one that is met is not"""
        for count, said in [(30, "0.001"), (60, "**no**")]:
            change = where(put(calls=count, inside=0), line="syncs", what="free")
            edit(self.runs / "near-syncs-1.guest", change)
            text = subjects.report(subjects.collect(self.runs))
            row = next(row for row in text.splitlines() if "| 10,000 socket filters freed" in row)
            self.assertIn(said, row)
            self.assertEqual("goal 0.001: missed" in text, count == 60)

    def missed(self) -> dict[str, str]:
        """The goals of these runs that are missed, and by how much."""
        data = subjects.collect(self.runs)
        found = {}
        for one in goals.goals(data["goals"]):
            if one.missed_by:
                found[one.text] = one.missed
                self.assertIn(f"{one.text}: {one.missed}", goals.summary(data["goals"]))
        return found

    def test_goals_section(self) -> None:
        """a goal that spoiled figures miss is in the section and the summary, with how much"""
        before = self.missed()
        change = where(put(calls=60, inside=0), line="syncs", what="free")
        edit(self.runs / "near-syncs-1.guest", change)
        rows = subjects.collect(self.runs)["subjects"]["linear"]
        first = rows[0]["sides"]["module"]["split"][0]
        change = where(put(split=[first, first + 3]), line="linear", side="module", packs=10)
        edit(self.runs / "linear.guest", change)

        def at_one_place(line: dict) -> None:
            line["images"] = [line["text"], line["text"] + 512]

        edit(self.runs / "near-entropy.guest", where(at_one_place, line="places"))
        added = {text: how for text, how in self.missed().items() if text not in before}
        self.assertEqual(
            added["synchronisations of each of 10,000 frees"][:17], "missed by 0.001 ("
        )
        self.assertEqual(
            added["the linear map's blocks that stay split more, 10 packs, fresh memory"],
            "missed by 3",
        )
        self.assertEqual(sum("distinct places" in text for text in added), 3)
        name = "places from the lowest to the highest of the first image in its pack, randomize=1"
        self.assertEqual(added[name], "missed by 4,096 (100.0 %)")
        self.assertEqual(
            added["times that the most frequent pack is seen, randomize=0"],
            "missed by 21 (525.0 %)",
        )
        text = subjects.report(subjects.collect(self.runs))
        self.assertIn("| **missed by 3** |", text)
        self.assertIn(f"| {goals.NOT_HERE} |", text)

    def goal(self, name: str) -> dict:
        """The goal whose text begins so."""
        every = subjects.collect(self.runs)["goals"]
        found = [one for one in every if one["text"].startswith(name)]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def test_goals_packs(self) -> None:
        """packs of several seeds: the largest decides; each seed has its row and its place"""
        name = "packs reserved for 10,000 images after a million random operations"
        edit(
            self.runs / "fragmentation.json",
            lambda line: line if line["operations"] != goals.MILLION else None,
        )
        self.assertEqual(self.goal(name)["verdict"], goals.NOT_HERE)
        path = self.runs / "fragmentation.json"
        lines = list(map(json.loads, path.read_text().splitlines()))
        last = [line for line in lines if line["operations"]][-2:]
        self.assertEqual([line["allocator"] for line in last], ["stock", "module"])
        for seed, packs in [(1, 3), (2, 4), (3, 3)]:
            change = {"live": 10000, "operations": goals.MILLION, "seed": seed}
            change["reserved"] = packs * fragmentation.PACK
            lines += [line | change for line in last]
        lines[-1]["reserved"] += fragmentation.PACK
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        found = self.goal(name)
        self.assertIn(", 3 seeds", found["text"])
        self.assertEqual((found["stock"], found["module"], found["wanted"]), ([3, 4], [3, 4], 3))
        self.assertEqual(found["verdict"], "**missed by 1 (33.3 %)**")
        data = subjects.collect(self.runs)
        text = subjects.report(data)
        for seed in [1, 2, 3]:
            self.assertIn(f"| 10,000 | 1,000,000 | {seed} | module | ", text)
        places = [one["where"] for one in data["worse"] if "random operations" in one["where"]]
        self.assertIn("about 10000 images after 1000000 random operations, seed 3, model", places)
        self.assertEqual(len(places), len(set(places)))

    def test_goals_unjudged(self) -> None:
        """a longest hold and minutes without a number to meet have no verdict; the list counts"""
        name = "instructions of the longest hold"
        heads = {}
        for change, verdict in [(-1, "below"), (1, "above"), (0, "the same as stock's")]:
            at = self.goal(name)["stock"][1] + change
            edit(self.runs / "timed-holds.guest", where(put(instructions=at), line="hold"))
            expected = f"{verdict} stock's by 1" if change else verdict
            self.assertEqual(self.goal(name)["verdict"], expected)
            data = subjects.collect(self.runs)
            heads[change] = goals.summary(data["goals"])
        # One that is longer is in the list of what is worse, which has a goal of its own.
        self.assertEqual(heads[0], heads[-1])
        self.assertEqual(self.goal("figures in the list")["module"], [len(data["worse"])] * 2)
        planned = plan.minutes(plan.read(self.runs / "plan"), 2)
        quick = self.goal("minutes of `make bench-quick`")
        self.assertEqual(quick["verdict"], f"not measured: {planned} planned")
        self.assertEqual(self.goal("minutes of `make bench`")["verdict"], goals.NOT_HERE)
        lines = (self.runs / "environment").read_text()
        for seconds, verdict in [(480, "met"), (481, "**missed by 0.1 (1.2 %)**")]:
            (self.runs / "environment").write_text(
                f"{lines}seconds: {seconds}, 2 guests at a time\n"
            )
            self.assertEqual(self.goal("minutes of `make bench-quick`")["verdict"], verdict)

    def test_goals_entropy(self) -> None:
        """a pack that is too frequent, and places as of randomize=0, miss their goals alone"""
        frequent = "times that the most frequent pack is seen, randomize=0"
        for times, verdict in [(4, "met"), (5, "**missed by 1 (25.0 %)**")]:
            turns = itertools.count()

            def move(line: dict, times: int = times, turns: itertools.count = turns) -> None:
                first = (next(turns) // times + 1000) * entropy.PACK
                line["images"][0] = first + line["images"][0] % entropy.PACK

            edit(self.runs / "near-entropy.guest", where(move, line="places", randomize=0))
            self.assertEqual(self.goal(frequent)["verdict"], verdict)
        name = "places from the lowest to the highest of the first image in its pack"
        distinct = "distinct places of the first image in its pack, randomize=1"
        self.assertEqual(self.goal(name)["verdict"], "met")

        def near_start(line: dict) -> None:
            most = entropy.PLACES[0] * entropy.CHUNK
            line["images"] = [at - at % entropy.PACK + at % most for at in line["images"]]

        edit(self.runs / "near-entropy.guest", where(near_start, line="places", randomize=1))
        self.assertIn("missed by", self.goal(name)["verdict"])
        self.assertEqual(self.goal(distinct)["verdict"], "met")

    def test_entropy(self) -> None:
        """the estimates of known samples"""
        for values, bits in [
            ([7] * 100, 0),
            (list(range(100)), 4.42),
            # One value of many times, as of no uniform choice.
            ([7] * 22 + list(range(100, 178)), 1.74),
            ([1, 2, 3], 0.21),
        ]:
            found = entropy.min_entropy(entropy.measured(values, 1))
            self.assertAlmostEqual(found, bits, places=2)
        self.assertEqual(entropy.fewest_distinct(100, 1), 1)
        self.assertEqual(entropy.fewest_distinct(100, 4096), 94)
        self.assertEqual([entropy.most_often(samples) for samples in [25, 100]], [4, 7])
        # 23 people are the fewest who share a birthday more often than not.
        self.assertLessEqual(entropy.enough(22, 22), 365)
        self.assertGreater(entropy.enough(23, 23), 365)

    def test_entropy_uniform(self) -> None:
        """bits of uniform places stand beside packs and places, not beside addresses"""
        text = entropy.section(subjects.collect(self.runs)["subjects"]["entropy"])
        rows = [
            [cell.strip() for cell in row.strip("|").split("|")]
            for row in text.splitlines()
            if row.startswith(("| module", "| stock"))
        ]
        self.assertEqual(len(rows), 10)
        for who, what, *_, uniform in rows:
            no_place = who == "stock" or what == "the first image, from the kernel's text"
            self.assertEqual(uniform == "", no_place, what)

    def test_compiler(self) -> None:
        """worse: walks beside the compiler"""
        number = region_of(self.runs, "near-compiler", line="compiler")

        def change(line: dict) -> None:
            line["models"][1]["class"]["kernel"]["walks"] = 10**8

        added = self.grow_region(["near-compiler"], number, change)
        name = "original workload beside a compiler"
        self.assert_named(added, name, "kernel walks, n1/random=1", 10**8)

    def test_linear(self) -> None:
        """worse: leaves and split blocks of the linear map; a run without them says so"""
        change = where(put(split=[0, 7777], leaves=[0, 10**6]), line="linear", side="module")
        added = self.grown(["linear.guest"], change)
        name = "10 packs, fresh memory"
        self.assert_named(added, name, "2 MiB blocks that are split more in the linear map", 7777)
        self.assert_named(added, name, "leaves more in the linear map", 10**6)
        edit(self.runs / "plan", where(drop, name="linear"))
        data = subjects.collect(self.runs)
        self.assertIn("the run is older than this part of the plan", subjects.report(data))
        self.assertIn("this run is older", " ".join(why for _, why in data["not_run"]))

    def test_others(self) -> None:
        """worse: holds, fragmentation, calls, memory"""
        hold = where(put(instructions=10**7), line="hold")
        added = self.grown(["timed-holds.guest"], hold)
        name = "10000 images made and freed"
        self.assert_named(added, name, "longest hold of the allocator's lock", 10**7)
        more_memory = where(put(reserved=10**9), allocator="module", operations=20000)
        added = self.grown(["fragmentation.json"], more_memory)
        name = "about 10000 images after 20000 random operations, seed 1, model"
        self.assert_named(added, name, "bytes reserved by the model", 10**9)
        longer = where(put(length=4000), line="calls", helpers=7)
        added = self.grown(["near-kaslr.guest"], longer)
        self.assert_named(added, "7 calls of helpers, with KASLR", "jited bytes", 4000)
        memory = where(put(bytes=10**9), line="memory", at="loaded", who="module")
        added = self.grown(["near.guest", "near-again.guest"], memory)
        seen = [one["what"] for one in added]
        self.assertIn("bytes reserved", seen)


# Whose files stand in for those of a guest that only the full plan has, by its purpose.
STAND_INS = {
    "attach": "{layout}-kaslr",
    "compiler": "{layout}-compiler",
    "fleet": "{layout}",
    "huge": "{layout}",
    "many": "{layout}",
    "parallel": "{layout}-smp2-1",
    "syncs": "{layout}-syncs-1",
    "tools": "{layout}",
}
EVENTS = {"ITLB_WALK": 5, "L1I_TLB": 70, "INST_RETIRED": 1000, "L1I_TLB_REFILL": None}


def add_short_lived(path: pathlib.Path) -> None:
    """Makes scenarios with short-lived programs of those without."""
    lines = []
    for line in map(json.loads, path.read_text().splitlines()):
        if line["line"] == "hot":
            churn = {"line": "churn", "region": line["region"], "programs": 1280}
            lines.append(churn | {"synchronisations": 1281})
        if line["line"] == "memory" and line["at"] == "loaded":
            lines.append(line | {"at": "after"})
        lines.append(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def add_lines(path: pathlib.Path, added: Callable[[list[dict]], list[dict]]) -> None:
    """Puts lines before those of a guest, whose regions they may have."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in added(lines) + lines))


def many_loads(lines: list[dict]) -> list[dict]:
    """Loads beside few and many programs, from those of other programs."""
    regions = [line["region"] for line in lines if line["line"] == "load_free"][:4]
    found = [
        {"line": "many", "region": region, "beside": beside + turn}
        for beside in [0, 10000, 99996]
        for turn, region in enumerate(regions)
    ]
    return [*found, {"line": "loaded", "mix": "many", "live": 100000, "bytes": 25600000}]


def attached_to(direct: int) -> Callable[[list[dict]], list[dict]]:
    """Programs at functions, so many of which are reached directly; from calls of one function."""

    def added(lines: list[dict]) -> list[dict]:
        calls = {line["what"]: line for line in lines if line["line"] == "entry"}
        calls["others"] = calls.pop("after")
        found = [line | {"line": "attached_call", "what": what} for what, line in calls.items()]
        line = {"line": "attached", "region": calls["with"]["region"], "functions": 1000}
        found.append(line | {"direct": direct, "trampolines": 1000, "refused": 3})
        for line in lines:
            if line["line"] == "memory" and line["at"] == "start":
                found += [line | {"at": "before_attach"}, line | {"at": "attached"}]
        return found

    return added


QUIET = ["llcstat: exit status 1", "runqlen: no program"]


def tools_run(path: pathlib.Path) -> None:
    """Makes the lines of a guest that runs tools of those of one that runs other programs."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    hot = next(line for line in lines if line["line"] == "hot" and line["temperature"] == "warm")
    found = [line for line in lines if line["line"] == "memory" and line["at"] == "start"]
    found = [line | {"at": "loaded"} for line in found]
    hot |= {"mix": "libbpf-tools", "live": 9, "hot": 9, "place": "as loaded"}
    found += [hot | {"temperature": temperature} for temperature in ["warm", "flush"]]
    counts = {"programs": 9, "functions": 12, "bytes": 5000, "trampolines": 3, "ran": 4, "runs": 70}
    found.append({"line": "tools", "tools": 2, "quiet": QUIET, **counts})
    found.append({"line": "end"})
    path.write_text("".join(json.dumps(line) + "\n" for line in found))


class Full(Runs):
    """The report of a full plan, with stand-ins for the guests that the short one lacks."""

    def setUp(self) -> None:
        """Makes the stand-ins."""
        super().setUp()
        have = {guest.name for guest in plan.read(self.runs / "plan")}
        planned = []
        for guest in plan.guests(full=True, hardware=True):
            models = ("n1/lru",) if guest.models else ()
            planned.append(dataclasses.replace(guest, models=models))
            self.stand_in(guest, have)
        (self.runs / "plan").write_text(plan.write(planned))
        lines = (self.runs / "environment").read_text().replace("plan: quick", "plan: full")
        (self.runs / "environment").write_text(lines)

    def stand_in(self, guest: plan.Guest, have: set[str]) -> None:
        """Makes the files of a guest."""
        if guest.purpose == "hardware":
            lines = [{"line": "events", **EVENTS}, {"line": "end"}]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.runs / f"{guest.name}.guest").write_text(text)
            return
        if guest.name in have:
            return
        name = STAND_INS.get(guest.purpose, "{layout}").format(layout=guest.layout)
        name = guest.repeats or guest.twin_of or name
        if not (self.runs / f"{name}.guest").exists():
            name = "near"
        for kind in ["guest", "json"] if guest.models else ["guest"]:
            shutil.copy(self.runs / f"{name}.{kind}", self.runs / f"{guest.name}.{kind}")
        if guest.purpose == "fleet" and not guest.repeats:
            add_short_lived(self.runs / f"{guest.name}.guest")
        if guest.purpose == "many":
            add_lines(self.runs / f"{guest.name}.guest", many_loads)
        if guest.purpose == "attach":
            direct = 1000 if guest.layout == "near" else 0
            add_lines(self.runs / f"{guest.name}.guest", attached_to(direct))
        if guest.purpose == "large":
            for line in ["hot", "loaded"]:
                edit(self.runs / f"{guest.name}.guest", where(put(mix="large"), line=line))
        if guest.purpose == "tools":
            tools_run(self.runs / f"{guest.name}.guest")
        if guest.purpose == "huge":
            edit(self.runs / f"{guest.name}.guest", where(put(live=100000), line="direct"))

    def test_full(self) -> None:
        """the report of a full plan"""
        data = subjects.collect(self.runs)
        found = data["subjects"]
        self.assertEqual(
            [name for name in found["misses"] if name != "sizes"],
            ["main", "fleet", "many", "large", "tools", "newer_cpu", "sensitivity", "pages_16k"],
        )
        self.assertEqual(list(found["loads"]), ["main", "newer_cpu"])
        self.assertEqual({row["cpus"] for row in found["interrupts"]["loads"]}, {2, 4})
        self.assertEqual(found["interrupts"]["guests"], 4)
        self.assertEqual({row["guests"] for row in found["syncs"]}, {2})
        self.assertIn(100000, {row["live"] for row in found["direct"]["lives"]})
        self.assertEqual(len(found["hardware"]["near"]["ITLB_WALK"]), 10)
        text = subjects.report(data)
        planned = plan.minutes(plan.read(self.runs / "plan"), 2)
        row = f"| minutes of `make bench` |  |  | under 60 | not measured: {planned} planned |"
        self.assertIn(row, text)
        self.assertIn("reached directly | 0 | 100 | ≥ 100 (ours; the share was asked for) |", text)
        self.assertIn("64 KiB runs (C64)", text)
        self.assertIn("| ITLB_WALK | 5 (5..5) | 5 (5..5) | +0.00 % |", text)
        self.assertIn("this machine does not count it", text)
        self.assertNotIn("only in the full run", text)

    def beyond_chance(self) -> int:
        """How many figures are worse, as the goals say it."""
        found = subjects.collect(self.runs)["goals"]
        row = next(row for row in found if row["text"].startswith("figures in the list"))
        self.assertEqual(row["module"][0], row["module"][1])
        return row["module"][0]

    def place(self, what: str) -> tuple[bool, bool]:
        """Whether a figure is among those that are worse, and among those by chance."""
        text = subjects.report(subjects.collect(self.runs))
        worse, _, rest = text.partition("## Where the module is")[2].partition("### By chance")
        return f"| {what} |" in worse, f"| {what} |" in rest.partition("\n#")[0]

    def test_chance(self) -> None:
        """worse by chance: guests of one layout differ by as much, without the module or with it"""

        def misses(count: int) -> Callable[[dict], None]:
            def change(line: dict) -> None:
                line["models"][0]["class"]["bpf"]["misses"] = count

            return change

        number = region_of(self.runs, "near", line="hot", hot=100, place="dense")
        what = "realistic, 1000 live, 100 hot, dense, warm | bpf misses, n1/lru, 20 rounds"
        edit(self.runs / "stock.json", where(misses(17), region=number))
        self.assertEqual(self.place(what), (False, False))
        before = self.beyond_chance()
        for guest, count, where_ in [
            ("near", 12345, (False, True)),
            ("near-twin", 6000, (True, False)),
            ("near-twin-again", 6000, (True, False)),
            # The module's guests differ by more, but both have more than stock's.
            ("near-twin", 30000, (True, False)),
            ("near-twin-again", 30000, (True, False)),
            ("near-twin", 6000, (True, False)),
            ("near-twin-again", 6000, (True, False)),
            ("stock-twin", 12345, (False, True)),
            ("stock-twin", 12344, (True, False)),
        ]:
            edit(self.runs / f"{guest}.json", where(misses(count), region=number))
            if guest == "near-twin":
                continue
            self.assertEqual(self.place(what), where_, f"{guest}: {count}")
            self.assertEqual(self.beyond_chance(), before + where_[0])
        data = subjects.collect(self.runs)
        self.assertEqual(data["between_twins"]["bpf misses, n1/lru"], 12344 - 17)
        text = subjects.report(data)
        self.assertRegex(
            text, rf"\n\| {re.escape(what)} \| 17 \| 12,345 \| \+12,328 \| 12,327 \|\n"
        )
        self.assertNotIn("twins: other guests", text)
        edit(self.runs / "stock-twin.json", where(misses(12345), region=number))
        text = subjects.report(subjects.collect(self.runs))
        self.assertIn(" more it is so by chance: guests of one layout", text)
        self.assertIn("stock-twin (1000M), near-twin (1000M), stock-max-twin (1000M)", text)

    def test_chance_of_loads(self) -> None:
        """the same of the cost of a load, on each CPU model"""
        number = region_of(self.runs, "stock", line="load_free", what="load", live=0)
        for cpu, title in [("", ""), ("-max", ", -cpu max")]:
            what = f"256 B beside 0 live{title} | IC IVAU of a load, at most"
            with_module = [f"near{cpu}", f"near{cpu}-twin", "near-twin-again"]
            for guest in with_module:
                edit(self.runs / f"{guest}.json", where(put(ic_ivau=777), region=number))
            self.assertEqual(self.place(what), (True, False))
            edit(self.runs / f"stock{cpu}-twin.json", where(put(ic_ivau=777), region=number))
            self.assertEqual(self.place(what), (False, True))

    def test_shorter_suite(self) -> None:
        """a twin has what its shorter suite does, and nothing that the longer one does not do"""

        def longer(lines: list[dict]) -> list[dict]:
            """More of the lines, as beside other programs."""
            return [
                line | {"live": 5000, "bytes": 512} if line["line"] == kind else line | {"hot": 77}
                for kind in ["load_free", "hot"]
                for line in lines
                if line["line"] == kind
            ]

        for guest in ["stock", "near", "far", "base", "page", "c64"]:
            add_lines(self.runs / f"{guest}.guest", longer)
        found = subjects.collect(self.runs)["subjects"]["loads"]["main"]
        self.assertIn(5000, {row["live"] for row in found})
        change = where(put(hot=78), line="hot", hot=100)
        self.spoil("near-twin.guest", change, "near-twin: hot lines that near does not have")

    def test_lost_guest(self) -> None:
        """no report of a twin without the guest that it is a twin of"""
        change = where(put(twin_of="nobody"), name="near-twin")
        self.spoil("plan", change, "near-twin: no guest nobody, whose twin it is")

    def test_older_run(self) -> None:
        """a full run from before there were twins says so"""
        edit(self.runs / "plan", lambda line: None if line["twin_of"] else line)
        lines = (self.runs / "plan").read_text()
        first = json.loads(lines.splitlines()[0])
        again = first | {"name": "stock-again", "repeats": "stock"}
        (self.runs / "plan").write_text(lines + json.dumps(again) + "\n")
        for kind in ["guest", "json"]:
            shutil.copy(self.runs / f"stock.{kind}", self.runs / f"stock-again.{kind}")
        text = subjects.report(subjects.collect(self.runs))
        self.assertNotIn("### By chance", text)
        self.assertIn("differs by chance: this run is older than", text)

    def test_fleet(self) -> None:
        """worse: interrupts off with short-lived programs; no report without these"""
        number = region_of(self.runs, "near-fleet", line="hot", hot=1000)
        before = subjects.collect(self.runs)
        self.assertEqual(before["subjects"]["fleet"]["packs"]["near"], {"loaded": 2, "after": 2})
        edit(self.runs / "near-fleet.json", where(put(irqs_off_longest=10**7), region=number))
        data = subjects.collect(self.runs)
        added = [one for one in data["worse"] if one not in before["worse"]]
        self.assertEqual([one["module"] for one in added], [10**7])
        text = subjects.report(data)
        self.assertIn("| after the short-lived ones |  | packs | 1 | 2 | 1 |", text)
        row = next(row for row in data["subjects"]["fleet"]["rows"] if row["hot"] == 1000)
        sides = [row["layouts"][layout]["models"] for layout in ("stock", "near")]
        misses = " → ".join(f"{side['bpf misses, n1/lru']:,}" for side in sides)
        self.assertIn(f"1,000 of them hot: bpf misses, n1/lru {misses}; bpf walks", text)
        edit(self.runs / "near-fleet.guest", where(drop, line="churn"))
        status, said = self.run_command()
        self.assertEqual((status, "near-fleet: no short-lived programs" in said), (1, True), said)

    def change_guest(self, guest: str, change: Change) -> list[tuple]:
        """The figures that a change of a guest's lines adds to the list."""
        before = subjects.collect(self.runs)["worse"]
        edit(self.runs / f"{guest}.guest", change)
        data = subjects.collect(self.runs)
        added = [one for one in data["worse"] if one not in before]
        for one in added:
            self.assertIn(f"| {one['where']} | {one['what']} | ", subjects.report(data))
        return [(one["what"], one["stock"], one["module"]) for one in added]

    def test_attach(self) -> None:
        """worse: trampolines that are not reached directly; no report without these"""
        text = subjects.report(subjects.collect(self.runs))
        self.assertIn("with KASLR: reached directly: 0 % → 100 %", text)
        self.assertIn("| trampolines that are reached directly | 0 | 1,000 |", text)
        edit(self.runs / "stock-attach.guest", where(put(direct=999), line="attached"))
        added = self.change_guest("near-attach", where(put(direct=900), line="attached"))
        self.assertEqual(added, [("trampolines that are not reached directly", 1, 100)])
        change = where(put(packs=77), line="memory", at="attached", who="module")
        self.assertIn(
            "packs reserved while attached",
            [what for what, _, _ in self.change_guest("near-attach", change)],
        )
        number = region_of(self.runs, "near-attach", line="attached_call", what="with")
        edit(self.runs / "near-attach.json", where(more("insns", 99000), region=number))
        what = "instructions added to a call"
        added = [one for one in subjects.collect(self.runs)["worse"] if one["what"] == what]
        self.assertIn("1,000 functions with an empty program", [one["where"] for one in added])
        edit(self.runs / "near-attach.guest", where(put(trampolines=999), line="attached"))
        status, said = self.run_command()
        self.assertEqual((status, "1000 functions, 999 trampolines" in said), (1, True), said)

    def test_many(self) -> None:
        """worse: a load beside 100,000 programs, their packs; no report without these"""
        change = where(put(packs=50), line="memory", at="loaded", who="module")
        added = self.change_guest("near-many", change)
        self.assertIn("packs", [what for what, _, _ in added])
        number = region_of(self.runs, "near-many", line="many", beside=99999)
        edit(self.runs / "near-many.json", where(put(insns=77), region=number))
        data = subjects.collect(self.runs)
        loads = data["subjects"]["many"]["layouts"]["near"]["loads"]
        self.assertEqual((set(loads), loads[99996]["insns"][0]), ({0, 10000, 99996}, 77))
        edit(self.runs / "near-many.guest", where(drop, line="many", beside=10001))
        status, said = self.run_command()
        self.assertEqual((status, "near-many: loads of many programs" in said), (1, True), said)

    def test_large(self) -> None:
        """worse: memory of large programs"""
        change = where(more("bytes", 2**30), line="memory", who="module")
        self.change_guest("near-large", change)
        worse = subjects.collect(self.runs)["worse"]
        self.assertIn("1000 programs, mix large", {one["where"] for one in worse})

    def test_tools(self) -> None:
        """worse: packs reserved for the tools' programs; no report of others in another layout"""
        text = subjects.report(subjects.collect(self.runs))
        self.assertIn("| programs that ran | 4 | 4 | 0 |", text)
        self.assertIn("or had no program here: llcstat: exit status 1, runqlen: no program.", text)
        self.assertIn("**2 tools of libbpf-tools**, 9 programs, of which 4 ran; warm", text)
        change = where(put(packs=77), line="memory", who="module")
        self.assertIn(
            "packs reserved", [what for what, _, _ in self.change_guest("near-tools", change)]
        )
        edit(self.runs / "near-tools.guest", where(put(ran=3), line="tools"))
        text = subjects.report(subjects.collect(self.runs))
        self.assertIn("of which 3..4 ran", text)
        edit(self.runs / "near-tools.guest", where(put(programs=8), line="tools"))
        status, said = self.run_command()
        self.assertEqual((status, "not the same programs in all layouts" in said), (1, True), said)
        edit(self.runs / "near-tools.guest", where(put(runs=0), line="tools"))
        status, said = self.run_command()
        self.assertEqual((status, "near-tools: no program of a tool ran" in said), (1, True), said)

    def test_hardware_missing(self) -> None:
        """no report of a machine that did not count"""
        self.spoil("near-hardware-3.guest", where(drop, line="events"), "near-hardware-3: the eve")


class Readme(unittest.TestCase):
    """The tables of figures in README.md."""

    def test_form(self) -> None:
        """the tables of README.md have the form that scripts/bench --readme prints"""
        self.assertEqual(readme.complaints(README.read_text()), [])

    def test_complaints(self) -> None:
        """tables of another form are found"""
        good = README.read_text()
        for old, new in [
            ("| alloc after churn beside 1,000", "| alloc after churn with 1,000"),
            ("Figures of `make", "Results of `make"),
            ("| 2 MiB | 4 MiB |", "| 2 MiB | 4..6 MiB |"),
            ("| 2 MiB | 4 MiB |", "| 4 MiB | 2 MiB |"),
            ("| walks of the same |", "| walks |"),
            (" goals are met. The others:", " goals are met."),
            (" goals are met. The", "0 goals are met. The"),
            ("| missed by ", "| met by "),
            ("| goal | stock |", "| stock | goal |"),
        ]:
            self.assertEqual(good.count(old) > 0, True, old)
            self.assertNotEqual(readme.complaints(good.replace(old, new, 1)), [], old)


class Plan(unittest.TestCase):
    """The plan."""

    def test_fields(self) -> None:
        """names are unique, repeats repeat what is alike, words are known"""
        script = (HERE / "guest" / "run.sh").read_text()
        for full in [False, True]:
            planned = plan.guests(full, hardware=full)
            by_name = {guest.name: guest for guest in planned}
            self.assertEqual(len(by_name), len(planned))
            twins: list[tuple[str, str]] = []
            for guest in planned:
                self.assertIn(guest.purpose, plan.PURPOSES)
                self.assertIn(guest.layout, plan.LAYOUTS)
                self.assertIn(f"\n{guest.layout}) ", script)
                self.assertIn(f"\n{guest.suite}_suite() {{", script)
                if guest.repeats:
                    first = dataclasses.replace(guest, name=guest.repeats, repeats=None)
                    self.assertEqual(by_name[guest.repeats], first)
                elif guest.twin_of:
                    first = by_name[guest.twin_of]
                    like = dataclasses.replace(
                        guest, name=first.name, suite=first.suite, memory=first.memory, twin_of=None
                    )
                    self.assertEqual(like, first)
                    self.assertEqual((first.memory, guest.memory), ("1G", "1000M"))
                    # The shorter suite begins the longer one.
                    self.assertIn(
                        (first.suite, guest.suite), [("full", "quick"), ("quick", "quick")]
                    )
                    twins.append((guest.purpose, guest.layout))
            self.assertEqual(len(twins), len(set(twins)))
            for _, layout in twins:
                self.assertIn(("main", layout), twins)

    def test_minutes(self) -> None:
        """the plans are shorter than what is promised of them"""
        for name, most in goals.MINUTES.items():
            planned = plan.guests(full=name == "full", hardware=False)
            self.assertLess(plan.minutes(planned, 2), most)

    def test_at_a_time(self) -> None:
        """more guests run beside one with several CPUs, none beside one that counts events"""
        planned = {guest.name: guest for guest in plan.guests(full=True, hardware=True)}
        for name, most in [("near", 2), ("near-syncs-1", 4), ("near-hardware-1", 1)]:
            self.assertEqual(planned[name].at_a_time(2), most)

    def test_written(self) -> None:
        """a plan that is written and read is the same"""
        planned = plan.guests(full=True, hardware=True)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "plan"
            path.write_text(plan.write(planned))
            self.assertEqual(plan.read(path), planned)

    def test_older(self) -> None:
        """a field that an older plan lacks has its default"""
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "plan"
            path.write_text(plan.write(plan.guests(full=False, hardware=False)[:1]))
            edit(path, where(lambda line: line.pop("memory") and None))
            self.assertEqual([guest.memory for guest in plan.read(path)], ["1G"])

    def test_machines(self) -> None:
        """one CPU repeats, several do not, KASLR has random numbers"""
        for guest in plan.guests(full=True, hardware=True):
            machine = " ".join(guest.machine)
            repeatable = guest.cpus == 1 and guest.purpose != "hardware"
            self.assertEqual("--repeatable" in machine, repeatable)
            self.assertEqual("--memory" in machine, guest.memory != "1G")
            self.assertEqual("dtb-randomness=on" in machine, guest.kaslr)


def main() -> int:
    """Runs the tests; returns the exit status."""
    global SOURCE
    match sys.argv[1:]:
        case ["--accept"]:
            (SAMPLE / "expected.md").write_text(subjects.report(subjects.collect(SAMPLE)))
            return 0
        case [runs]:
            SOURCE = pathlib.Path(runs)
        case []:
            pass
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    add_spoiled()
    return ktap.run(sys.modules[__name__])


if __name__ == "__main__":
    sys.exit(main())
