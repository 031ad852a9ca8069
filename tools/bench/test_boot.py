#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of boot.py, with a script in the place of scripts/vm. Prints KTAP lines."""

import contextlib
import dataclasses
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import boot
import ktap
import plan

# Stands in for scripts/vm. ANSWERS/NAME has a line for each boot of the guest: what it leaves, or
# the word "fail" or "hang". It writes when it began and ended, and whether a signal ended it.
FAKE = r"""#!/bin/bash
case "$*" in *--show-machine*) echo "machine: $*"; exit ;; esac
for word in "$@"; do
	case $word in *.console) name=$(basename "$word" .console) ;; *,out=*) options=$word ;; esac
done
answers=$(dirname "$0")/answers
trap 'echo "$name killed" >>"$answers/events"; exit 1' TERM
echo "$name begins" >>"$answers/events"
answer=$(head -n 1 "$answers/$name" 2>/dev/null || echo good)
sed -i 1d "$answers/$name" 2>/dev/null
echo "{\"line\":\"end\"}"
case $answer in
fail) echo "the guest failed" >&2; exit 3 ;;
hang) for _ in $(seq 100); do sleep 0.1; done ;;
*) sleep 0.3 ;;
esac
out=${options#*out=}
[ -z "$options" ] || echo "$answer" >"${out%%,*}"
echo "$name ends" >>"$answers/events"
"""


class Boot(unittest.TestCase):
    """Plans of a few guests."""

    def setUp(self) -> None:
        """Puts the script in the place of scripts/vm."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.runs, self.answers = self.dir / "runs", self.dir / "answers"
        for path in [self.runs, self.answers]:
            path.mkdir()
        self.vm = self.dir / "vm"
        self.vm.write_text(FAKE)
        self.vm.chmod(0o755)
        self.enterContext(contextlib.ExitStack()).callback(setattr, boot, "VM", boot.VM)
        boot.VM = self.vm

    def guest(self, name: str, *answers: str, **fields: object) -> plan.Guest:
        """A guest, and what its boots leave."""
        if answers:
            (self.answers / name).write_text("".join(f"{answer}\n" for answer in answers))
        return plan.Guest(name, "main", "near", "quick", **fields)

    def boot(self, planned: list[plan.Guest], jobs: int = 2) -> tuple[int, str]:
        """The exit status of boot.py, and what it said."""
        (self.runs / "plan").write_text(plan.write(planned))
        environment = self.runs / "environment"
        if not environment.exists():
            environment.write_text("plan: quick\n")
        arguments = [self.runs, "plugin.so", "image", self.dir / "overlay", jobs]
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = boot.main([str(argument) for argument in arguments])
        return status, said.getvalue()

    def events(self) -> list[str]:
        """What the guests did, in order."""
        return (self.answers / "events").read_text().splitlines()

    def left(self, name: str) -> str:
        """The model's lines of a guest."""
        return (self.runs / f"{name}.json").read_text().strip()

    def test_all(self) -> None:
        """every guest leaves its files, and the environment names the machines"""
        alone = self.guest("b", "two", models=())
        status, said = self.boot([self.guest("a", "one"), alone])
        self.assertEqual(status, 0, said)
        self.assertEqual(self.left("a"), "one")
        self.assertFalse((self.runs / "b.json").exists())
        self.assertEqual((self.runs / "b.guest").read_text(), '{"line":"end"}\n')
        self.assertIn("machine of a, b: machine: ", (self.runs / "environment").read_text())

    def test_extra(self) -> None:
        """only guests that need more files get a second overlay"""
        places = [self.runs, self.dir, self.dir, pathlib.Path("overlays")]
        for purpose, wanted in [("main", ["arm64"]), ("tools", ["arm64", "tools"])]:
            guest = dataclasses.replace(self.guest("a"), purpose=purpose)
            words = boot.Boot(*places).command(guest)
            found = [words[at + 1] for at, word in enumerate(words) if word == "--overlay"]
            self.assertEqual(found, [f"overlays/{name}" for name in wanted])

    def test_jobs(self) -> None:
        """no more guests than wanted run at a time, and those of real hardware alone"""
        names = ["a", "b", "c", "d"]
        planned = [self.guest(name) for name in names]
        planned.append(dataclasses.replace(planned[0], name="e", purpose="hardware"))
        self.assertEqual(self.boot(planned)[0], 0)
        running, most = 0, 0
        for event in self.events():
            running += 1 if event.endswith("begins") else -1
            most = max(most, running)
            if event.startswith("e "):
                self.assertEqual(running, 1 if event.endswith("begins") else 0)
        self.assertEqual(most, 2)

    def test_failure(self) -> None:
        """a guest that fails is named with its log, and the others go on"""
        planned = [self.guest(*guest) for guest in [["bad", "fail"], ["worse", "fail"], ["good"]]]
        status, said = self.boot(planned)
        self.assertEqual(status, 1)
        self.assertIn("FAILED: guest bad (exit status 3)", said)
        self.assertIn("the guest failed", said)
        self.assertIn("2 of 3 guests failed: bad, worse", said)
        self.assertEqual(self.left("good"), "good")

    def test_resume(self) -> None:
        """guests that have run are not booted again, those that failed are"""
        planned = [self.guest("a", "one"), self.guest("bad", "fail", "two"), self.guest("c")]
        self.assertEqual(self.boot(planned)[0], 1)
        (self.answers / "events").unlink()
        status, said = self.boot(planned)
        self.assertEqual(status, 0, said)
        self.assertIn("2 of 3 guests have run", said)
        self.assertEqual(self.events(), ["bad begins", "bad ends"])
        self.assertEqual((self.left("a"), self.left("bad")), ("one", "two"))
        environment = self.runs / "environment"
        self.assertEqual(environment.read_text().count("machine of "), 1)
        environment.write_text(environment.read_text().replace("machine: ", "machine: other "))
        status, said = self.boot(planned)
        self.assertEqual(status, 1)
        self.assertIn("the guests that have run had other machines", said)

    def test_resume_odd(self) -> None:
        """three runs that all differ are not repeated until two are the same"""
        planned = [self.guest("a", "x"), self.guest("a-again", "y", "z", "x", repeats="a")]
        for _ in range(2):
            self.assertEqual(self.boot(planned)[0], 0)
        self.assertEqual((self.left("a"), self.left("a-again")), ("x", "z"))

    def test_old_results(self) -> None:
        """an old result does not stand in for a guest that fails"""
        (self.runs / "bad.json").write_text("old\n")
        self.assertEqual(self.boot([self.guest("bad", "fail")])[0], 1)
        self.assertFalse((self.runs / "bad.json").exists())

    def repeat(self, first: list[str], again: list[str]) -> tuple[str, str, bool]:
        """What a guest and its repeat leave, and whether a run was discarded."""
        planned = [self.guest("a", *first), self.guest("a-again", *again, repeats="a")]
        status, said = self.boot(planned)
        self.assertEqual(status, 0, said)
        discarded = "discarded: one run of a " in (self.runs / "environment").read_text()
        return self.left("a"), self.left("a-again"), discarded

    def test_repeat_same(self) -> None:
        """two runs that are the same are not repeated"""
        self.assertEqual(self.repeat(["x"], ["x"]), ("x", "x", False))

    def test_repeat_second_odd(self) -> None:
        """a third run that confirms the first takes the place of the second"""
        self.assertEqual(self.repeat(["x"], ["y", "x"]), ("x", "x", True))

    def test_repeat_first_odd(self) -> None:
        """a third run that confirms the second has the first done again"""
        self.assertEqual(self.repeat(["y", "x"], ["x", "x"]), ("x", "x", True))

    def test_repeat_all_differ(self) -> None:
        """of three runs that all differ two are left that differ: the report refuses them"""
        self.assertEqual(self.repeat(["x"], ["y", "z"]), ("x", "z", True))

    def test_signal(self) -> None:
        """a signal ends the guests under way"""
        (self.runs / "plan").write_text(plan.write([self.guest("slow", "hang")]))
        code = f"import sys, pathlib, boot; boot.VM = pathlib.Path({str(self.vm)!r}); "
        code += "sys.exit(boot.main(sys.argv[1:]))"
        arguments = [str(self.runs), "plugin.so", "image", str(self.dir), "1"]
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", code, *arguments],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent)},
        )
        while not (self.answers / "events").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20), 128 + signal.SIGTERM)
        self.assertIn("slow killed", self.events())


if __name__ == "__main__":
    sys.exit(ktap.run(sys.modules[__name__]))
