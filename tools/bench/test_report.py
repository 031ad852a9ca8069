#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Spoils copies of the last runs and checks that no report comes of them.

Usage: test_report.py RUNS
"""

import contextlib
import io
import json
import pathlib
import shutil
import sys
import tempfile

import report


def edit(path, change):
    """Rewrites the JSON lines of a file; `change` returns the new line, or None to drop it."""
    lines = [change(json.loads(line)) for line in path.read_text().splitlines() if line.startswith("{")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def model_of_total(line, what):
    """Counts one `what` in the total of the first model."""
    if line["line"] == "total":
        line["models"][0][what] += 1
    return line


def slower_clock(line):
    """A load's virtual time that disagrees with the counted instructions."""
    if line["line"] == "load_free" and line["what"] == "load":
        line["ns"] += 1000
    return line


def first_hot(runs):
    """The region of the first scenario."""
    said = (runs / "near.guest").read_text().splitlines()
    return next(json.loads(line)["region"] for line in said if '"hot"' in line)


def one_tick(line):
    """A timer tick in the middle of a direct call."""
    if line["line"] == "direct" and line["what"] == "finalize":
        line["ticks"] += 1
    return line


def longer_stretch(line):
    """A known stretch with interrupts off that is longer than the model says."""
    return dict(line, instructions=line["instructions"] + 1) if line["line"] == "masked" else line


def elsewhere(line):
    """Random operations after which an image is elsewhere."""
    return dict(line, digest="0" * 16) if line["line"] == "random" else line


def drop_region(runs):
    """The model's line of a scenario is missing in both equal runs."""
    region = first_hot(runs)
    for name in ["near", "near-again"]:
        edit(runs / f"{name}.json", lambda line: None if line.get("region") == region else line)


SPOIL = {
    "a stale hit": lambda runs: edit(runs / "stock.json", lambda line: model_of_total(line, "stale_hits")),
    "a wrong walk": lambda runs: edit(runs / "stock.json", lambda line: model_of_total(line, "walks_wrong")),
    "a marker error": lambda runs: edit(runs / "stock.json", lambda line: dict(line, marker_errors=1)),
    "a run that does not repeat": lambda runs: edit(runs / "near.json", lambda line: dict(line, insns=line.get("insns", 0) + 1)),
    "a region that is missing": drop_region,
    "a scenario that is missing": lambda runs: edit(runs / "far.guest", lambda line: None if line["line"] == "hot" and line["hot"] == 33 else line),
    "a guest without its end": lambda runs: edit(runs / "page.guest", lambda line: None if line["line"] == "end" else line),
    "a run that is missing": lambda runs: (runs / "base.json").unlink(),
    "a clock that disagrees": lambda runs: edit(runs / "stock.guest", slower_clock),
    "a mix whose sizes are not known": lambda runs: edit(runs / "stock.guest", lambda line: {what: value for what, value in line.items() if what != "recorded"}),
    "a compiler that did something else": lambda runs: edit(runs / "far-compiler.guest", lambda line: dict(line, sha256="0") if line["line"] == "object" else line),
    "a compiler that nothing ran beside": lambda runs: edit(runs / "page-compiler.guest", lambda line: dict(line, rounds=0) if line["line"] == "compiler" else line),
    "calls that are missing": lambda runs: edit(runs / "near-kaslr.guest", lambda line: None if line.get("helpers") == 20 else line),
    "a function that is missing": lambda runs: edit(runs / "stock-kaslr.guest", lambda line: None if line["line"] == "entry" and line["what"] == "with" else line),
    "a tick in a direct call": lambda runs: edit(runs / "stock.guest", one_tick),
    "direct calls that are missing": lambda runs: edit(runs / "near.guest", lambda line: None if line["line"] == "direct" and line["via"] == "abi" else line),
    "a model of fragmentation that the guest contradicts": lambda runs: edit(runs / "stock.guest", elsewhere),
    "a stretch with interrupts off that was counted wrongly": lambda runs: edit(runs / "stock.guest", longer_stretch),
    "memory that is missing": lambda runs: edit(runs / "near.guest", lambda line: None if line["line"] == "memory" else line),
}


def outcome(runs, out):
    """The report's exit status, and whether it wrote one."""
    sys.argv = ["report.py", str(runs), str(out)]
    with contextlib.redirect_stderr(io.StringIO()):
        status = report.main()
    return status, (out / "report.md").exists()


def main():
    """Checks everything; KTAP rows; returns the exit status."""
    source, failed = pathlib.Path(sys.argv[1]), 0
    print(f"KTAP version 1\n1..{len(SPOIL) + 1}")
    for index, (name, spoil) in enumerate([("the runs as they are", None), *SPOIL.items()], 1):
        with tempfile.TemporaryDirectory() as directory:
            runs = pathlib.Path(directory) / "runs"
            shutil.copytree(source, runs)
            if spoil:
                spoil(runs)
            seen = outcome(runs, pathlib.Path(directory))
        good = seen == ((1, False) if spoil else (0, True))
        failed += not good
        print(f"{'ok' if good else 'not ok'} {index} {name}: status {seen[0]}, report {'written' if seen[1] else 'not written'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
