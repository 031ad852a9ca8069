# SPDX-License-Identifier: GPL-2.0
"""Runs other people's suites on the stock kernel, without the module and with it.

scripts/suites calls this in the toolchain, after it has built the suites. Results are in
build/suites/stock and build/suites/module; what is there is not run again while the
suites, and for the second the module, are the same.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import compare
import results
from results import CONSOLE, LEFT, LISTED, Key, Results

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tools" / "suites"
BUILD = Path(os.environ.get("BPF_PACK_BUILD", ROOT / "build"))
OUT = BUILD / "suites"
SIDES = ["stock", "module"]
QUICK = ["verifier", "seccomp", "samples", "ftrace", "progs"]
ALL = [*QUICK, "maps", "tag"]
# Tests in one list, lists in one guest. A list that breaks off loses nothing but the test
# that broke it; a guest that does costs a boot.
LIST = {"progs": 12, "ftrace": 10, "samples": 1}
LISTS = 15
# Seconds for one guest; a good one takes a third of it.
TIMEOUT = 3600
# Guests that may end without a result more before a suite is given up.
PATIENCE = 3
# The result of a test whose suite was given up.
NOT_RUN = "NOT_RUN"


def say(text: str) -> None:
    """One line of progress, as the shell scripts' say."""
    started = int(os.environ.get("BPF_PACK_STARTED", time.time()))
    print(f"[{int(time.time()) - started:4d} s] {text}", file=sys.stderr, flush=True)


def words(path: Path) -> list[str]:
    """A list without its comments."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def digest(*paths: Path) -> str:
    """Stands for what these files hold."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def complaint_pattern() -> str:
    """What scripts/vm takes for a complaint of the kernel."""
    found = re.search(r"^COMPLAINTS='(.*)'$", (ROOT / "scripts" / "vm").read_text(), re.M)
    assert found, "scripts/vm has no COMPLAINTS"
    return found[1]


class Side:
    """The stock kernel, or the same with the module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = OUT / name
        self.guests = 0

    def stamp(self) -> str:
        """What results on this side are results of."""
        made_of = [HERE / "guest" / "run.sh", OUT / "root.tar.stamp"]
        if self.name == "module":
            made_of.append(BUILD / "module" / "arm64" / "bpf_pack.ko")
        return digest(*made_of)

    def boot(self, suite: str, todo: list[str], label: str) -> tuple[results.Guest, str]:
        """One guest that runs the lists of `todo`; what it and its console said."""
        overlay = OUT / "overlay"
        overlay.mkdir(parents=True, exist_ok=True)
        tar = overlay / "root.tar"
        if not tar.exists() or tar.stat().st_ino != (OUT / "root.tar").stat().st_ino:
            tar.unlink(missing_ok=True)
            tar.hardlink_to(OUT / "root.tar")
        for name in ["enter.sh", "run.sh"]:
            (overlay / name).write_text((HERE / "guest" / name).read_text())
        (overlay / "todo").write_text("".join(f"{line}\n" for line in todo))
        self.directory.mkdir(parents=True, exist_ok=True)
        output, console = (self.directory / f"{label}.{kind}" for kind in ["output", "console"])
        command = [
            str(ROOT / "scripts" / "vm"), "--memory", "4G", "--timeout", str(TIMEOUT),
            "--append", "lsm=landlock,lockdown,yama,integrity,apparmor,bpf",
            "--overlay", str(overlay), "--log", str(console),
            "--", "sh", "/overlay/enter.sh", self.name, suite,
        ]  # fmt: skip
        with (
            output.open("wb") as out,
            (self.directory / f"{label}.stderr").open("wb") as err,
            subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL) as vm,
        ):
            self.watch(vm, output, f"{self.name} {suite}")
        self.guests += 1
        return (
            results.read_guest(output.read_text(errors="replace")),
            console.read_text(errors="replace") if console.exists() else "",
        )

    @staticmethod
    def watch(vm: "subprocess.Popen[bytes]", output: Path, name: str) -> None:
        """Shows every half minute that a guest lives."""
        waited = 0
        while vm.poll() is None:
            time.sleep(1)
            waited += 1
            if waited % 30 == 0:
                tail = output.read_bytes()[-2000:].decode(errors="replace").strip().split("\n")
                say(f"  {name} ... {tail[-1].strip()[:80]}")


class Run:
    """One run of all suites, on both sides."""

    def __init__(self, repeat: int, again: bool) -> None:
        self.sides = {name: Side(name) for name in SIDES}
        self.repeat, self.again = repeat, again
        self.pattern = complaint_pattern()
        self.reasons = compare.known(HERE / "known-differences")
        # Which lists a complaint of the kernel came in, to run them again.
        self.blame: dict[Key, set[str]] = {}
        self.names: dict[str, list[str]] = {}

    def tests(self, suite: str, quick: bool) -> list[str]:
        """The tests of a suite; a suite that is run whole has one, "all"."""
        short = HERE / f"quick-{suite}"
        if quick and short.exists():
            return words(short)
        if suite == "progs":
            if "progs" not in self.names:
                names = OUT / "progs.names"
                if not names.exists():
                    say("ask test_progs for the names of its tests")
                    self.sides["stock"].boot("names", [], "names")
                    said = (OUT / "stock" / "names.output").read_text().split()
                    names.write_text("".join(f"{n}\n" for n in said if re.fullmatch(r"\w+", n)))
                self.names["progs"] = words(names)
            return self.names["progs"]
        if suite == "ftrace":
            root = OUT / "source/tools/testing/selftests/ftrace/test.d"
            return sorted(str(path.relative_to(root)) for path in root.rglob("*.tc"))
        if suite == "samples":
            return words(HERE / "samples")
        return ["all"]

    def run(self, side: Side, suite: str, tests: list[str], label: str, path: Path) -> Results:
        """Runs `tests`, in as many guests as it takes; adds their results to those in `path`."""
        have = results.load(path)
        todo = list(tests)
        patience, number = PATIENCE, 0
        while todo and patience:
            size = LIST.get(suite, 1)
            lists = [",".join(todo[at : at + size]) for at in range(0, len(todo), size)][:LISTS]
            number += 1
            say(f"{side.name} {suite}: guest {number}, {len(todo)} tests to run")
            guest, console = side.boot(suite, lists, f"{label}-{number}")
            new: Results = {}
            for part in guest.parts:
                new.update(results.results_of(suite, part))
            new.update(self.complained(suite, console))
            new.update({(suite, LEFT, name): "LEFT" for name in guest.left})
            if side.name == "module":
                self.note_module(side, suite, f"{label}-{number}", guest)
            ran = {key[1] for key in new}
            if suite not in LISTED:
                ran = {test for part in guest.parts for test in part.tests}
            rest = [test for test in todo if test not in ran]
            patience = PATIENCE if len(rest) < len(todo) else patience - 1
            todo = rest
            have.update(new)
            results.save(path, have)
        have.update({(suite, test, results.WHOLE): NOT_RUN for test in todo})
        results.save(path, have)
        return have

    def complained(self, suite: str, console: str) -> Results:
        """The kernel's complaints on a console as results."""
        found: Results = {}
        for text, where in results.complaints(console, self.pattern):
            key = (suite, CONSOLE, text)
            found[key] = "SEEN"
            self.blame.setdefault(key, set()).update(where.split(",") if where else [])
        return found

    def note_module(self, side: Side, suite: str, label: str, guest: results.Guest) -> None:
        """Keeps what the module said after a guest's tests."""
        said = dict(guest.module)
        said.update({name: str(value) for name, value in guest.status.items()})
        if not guest.done:
            said["guest"] = "FAIL came to no end"
        lines = [f"{suite}\t{name}\t{value}\n" for name, value in said.items()]
        (side.directory / f"{label}.module").write_text("".join(lines))

    def first(self, suite: str, quick: bool, names: list[str]) -> None:
        """A suite on the sides of these names, but for what is known from a run before."""
        for side in (self.sides[name] for name in names):
            path, stamp = side.directory / f"{suite}.results", side.directory / f"{suite}.stamp"
            want = side.stamp()
            if self.again or not stamp.exists() or stamp.read_text() != want:
                for old in side.directory.glob(f"{suite}[.-]*"):
                    old.unlink()
                side.directory.mkdir(parents=True, exist_ok=True)
                stamp.write_text(want)
            for old in side.directory.glob(f"{suite}[.-]*.console"):
                self.complained(suite, old.read_text(errors="replace"))
            have = {key: word for key, word in results.load(path).items() if word != NOT_RUN}
            known = {key[1] for key in have}
            missing = self.tests(suite, quick)
            if suite in LISTED:
                missing = [test for test in missing if test not in known]
            elif have:
                missing = []
            if missing:
                results.save(path, have)
                # Guests of an earlier run of this suite keep their output.
                number = len(list(side.directory.glob(f"{suite}*.output")))
                self.run(side, suite, missing, f"{suite}.{number}" if number else suite, path)

    @staticmethod
    def fresh(side: Side, label: str) -> tuple[str, Path]:
        """A label, and a file for its results that has none yet."""
        path = side.directory / f"{label}.results"
        path.unlink(missing_ok=True)
        return label, path

    def units(self, key: Key) -> set[str]:
        """The tests to run to see the result of `key` again."""
        suite, test, _ = key
        if test == CONSOLE:
            return self.blame.get(key, set()) or {"all"}
        if test == LEFT:
            return set()
        if suite in LISTED:
            return {test}
        if suite == "verifier":
            return {test.split("/")[0]} if test[0].isdigit() else {"all"}
        return {"all"}

    def settle(self, suite: str, seen: compare.Seen) -> None:
        """Runs what differs again on both sides, until it is known whether it always does."""
        for number in range(1, self.repeat + 1):
            open_keys = [
                key
                for key in seen.differing()
                if key[0] == suite
                and self.units(key)
                and not compare.explained(seen, key, self.reasons)
            ]
            if not open_keys:
                return
            units = sorted(set().union(*(self.units(key) for key in open_keys)))
            if "all" in units:
                units = ["all"]
            if suite in LISTED:
                known = self.tests(suite, quick=False)
                units = [unit for unit in units if unit in known] or units
            say(f"{suite}: {len(open_keys)} results differ; repetition {number} of {self.repeat}")
            for side in self.sides.values():
                again = self.run(side, suite, units, *self.fresh(side, f"{suite}.repeat{number}"))
                seen.add(side.name, suite, open_keys, again)

    def whole(self, suites: list[str], quick: bool) -> int:
        """Everything; the number of differences that are the module's."""
        seen = compare.Seen()
        for suite in suites:
            self.first(suite, quick, SIDES)
            for side in self.sides.values():
                wanted = set(self.tests(suite, quick)) if suite in LISTED and quick else None
                found = results.load(side.directory / f"{suite}.results")
                for key, word in found.items():
                    if wanted is None or key[1] in wanted or key[1] in (CONSOLE, LEFT):
                        seen.first(side.name, key, word)
            self.settle(suite, seen)
        wrong = compare.module_wrong(OUT / "module", suites)
        return compare.report(OUT, seen, self.reasons, wrong)

    def once(self, suite: str, tests: list[str]) -> int:
        """Single tests on both sides, for a look at them."""
        seen = compare.Seen()
        for side in self.sides.values():
            found = self.run(side, suite, tests, *self.fresh(side, f"once-{suite}"))
            for key, word in found.items():
                seen.first(side.name, key, word)
                print(f"{side.name}\t" + "\t".join((*key, word)))
        say(f"their output: {OUT}/stock/once-{suite}-1.output, and under module")
        return len(seen.differing())


def main() -> int:
    """Runs what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("suites", nargs="*")
    given = parser.parse_args()
    run = Run(given.repeat, given.again)
    differences = 0
    single = [name for name in given.suites if ":" in name]
    for name in single:
        suite, _, tests = name.partition(":")
        differences += run.once(suite, tests.split(","))
    suites = [name for name in given.suites if ":" not in name]
    if given.stock:
        for suite in suites or (QUICK if given.quick else ALL):
            run.first(suite, given.quick, ["stock"])
    elif suites or not single:
        differences += run.whole(suites or (QUICK if given.quick else ALL), given.quick)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
