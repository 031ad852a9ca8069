#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Cuts the test data of the report out of a run of the short plan.

Usage: cut_sample.py RUNS SAMPLE

SAMPLE gets the plan with two models, some scenarios of every kind, the regions of these and
of a region the members that the report reads; and expected.md, the report of it.
`scripts/bench --sample` does this with what the last `scripts/bench --quick` left.
"""

import dataclasses
import json
import pathlib
import shutil
import sys

import plan
from report import subjects

MODELS = ("n1/lru", "n1/random=1")
SIZES = [256, 65536]
# Repeats of one direct call that are kept.
REPEATS = 2
HOT = [
    (20, "spread", "warm"),
    (20, "dense", "warm"),
    (100, "spread", "warm"),
    (100, "spread", "evict2000"),
    (100, "dense", "warm"),
    (1000, "spread", "warm"),
]
REGION = ["line", "region", "insns", "irqs_off_longest", "ic_ivau", "dc_cvau", "isb"]
REGION += ["tlbi_repeat", "sgi"]
TOTAL = ["line", "insns", "marker_errors", "open_regions"]
CHECKS = ["model", "stale_hits", "stale_checked", "walks_wrong", "walks_checked"]
# Kinds of lines whose regions are about programs that run.
MODELLED = ["hot", "compiler", "calls"]
# Operations of the model of fragmentation that are kept.
OPERATIONS = [0, 20000]


def wanted(line: dict, seen: dict) -> bool:
    """Whether a line of a guest is kept; `seen` counts direct calls."""
    kind = line["line"]
    if kind == "hot":
        if line["mix"].startswith("original"):
            return line["live"] == 160 and line["temperature"] == "warm"
        scenario = (line["hot"], line["place"], line["temperature"])
        return line["mix"] == "realistic" and scenario in HOT
    if kind == "loaded":
        return line["mix"] == "realistic"
    if kind == "load_free":
        return line["bytes"] in SIZES
    if kind == "direct":
        key = tuple(line[what] for what in ["via", "live", "state", "bytes", "what"])
        seen[key] = seen.get(key, 0) + 1
        one = line["what"] in ["alloc", "finalize", "free"]
        return line["bytes"] in SIZES and (not one or seen[key] <= REPEATS)
    return True


def classes(counted: dict) -> dict:
    """Classes of which something was counted; of bpf, kernel and user always."""
    return {
        cls: {
            what: {size: n for size, n in value.items() if n} if what == "leaves" else value
            for what, value in counts.items()
        }
        for cls, counts in counted.items()
        if cls != "aux" or any(value for value in counts.values() if isinstance(value, int))
    }


def region(line: dict, modelled: bool) -> dict:
    """A region's members that the report reads; only some regions are about the model."""
    kept = {what: line[what] for what in REGION}
    kept["tlbi"] = {
        kind: {scope: n[scope] for scope in ["inner", "outer"]}
        for kind, n in line["tlbi"].items()
        if n["inner"] or n["outer"]
    }
    if modelled:
        kept["class"] = classes(line["class"])
        kept["models"] = [
            {"model": model["model"], "class": classes(model["class"])}
            for model in line["models"]
            if model["model"] in MODELS
        ]
    return kept


def write(path: pathlib.Path, lines: list[dict]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def cut(guest: plan.Guest, runs: pathlib.Path, sample: pathlib.Path) -> None:
    """One guest's files."""
    seen: dict = {}
    said = (runs / f"{guest.name}.guest").read_text().splitlines()
    lines = [line for line in map(json.loads, filter(is_json, said)) if wanted(line, seen)]
    if guest.layout == "timed":
        lines = [line for line in lines if line["line"] != "direct"]
    write(sample / f"{guest.name}.guest", lines)
    if not guest.models:
        return
    counted = [json.loads(line) for line in (runs / f"{guest.name}.json").read_text().splitlines()]
    header, total = counted[0], counted[-1]
    kinds = {line["region"]: line["line"] for line in lines if "region" in line}
    kinds |= {1: "insmod", 2: "insmod"}
    header["models"] = [model for model in header["models"] if model["model"] in MODELS]
    short = {what: total[what] for what in TOTAL}
    short["models"] = [
        {what: model[what] for what in CHECKS}
        for model in total["models"]
        if model["model"] in MODELS
    ]
    kept = [
        region(line, kinds[line["region"]] in MODELLED)
        for line in counted[1:-1]
        if line["region"] in kinds
    ]
    write(sample / f"{guest.name}.json", [header, *kept, short])


def is_json(line: str) -> bool:
    """Whether a line of a guest is JSON."""
    return line.startswith("{")


def main() -> int:
    """Cuts; returns the exit status."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    runs, sample = map(pathlib.Path, sys.argv[1:])
    planned = [
        dataclasses.replace(guest, models=tuple(one for one in guest.models if one in MODELS))
        for guest in plan.read(runs / "plan")
    ]
    if planned and any(guest.suite == "full" for guest in planned):
        print("cut_sample.py: these are runs of the full plan", file=sys.stderr)
        return 1
    shutil.rmtree(sample, ignore_errors=True)
    sample.mkdir(parents=True)
    (sample / "plan").write_text(plan.write(planned))
    lines = (runs / "environment").read_text().splitlines(keepends=True)
    # How long the run took says nothing about the sample.
    lines = [line for line in lines if not line.startswith("seconds: ")]
    (sample / "environment").write_text("".join(lines))
    lines = [json.loads(line) for line in (runs / "fragmentation.json").read_text().splitlines()]
    write(
        sample / "fragmentation.json", [line for line in lines if line["operations"] in OPERATIONS]
    )
    for guest in planned:
        if not guest.repeats:
            cut(guest, runs, sample)
            continue
        for kind in ["guest", "json"]:
            (sample / f"{guest.name}.{kind}").symlink_to(f"{guest.repeats}.{kind}")
    (sample / "expected.md").write_text(subjects.report(subjects.collect(sample)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
