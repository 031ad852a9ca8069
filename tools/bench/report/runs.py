# SPDX-License-Identifier: GPL-2.0
"""What the benchmark's guests left: reads it and checks it. All rows are made of this."""

import json
import pathlib
from collections.abc import Iterable

import plan

# The model whose figures are meant where none is named.
MAIN = "n1/lru"
CLASSES = ["bpf", "kernel", "user"]
# Counts of a region of which more is worse, and how tables call them.
COSTS = {
    "insns": "guest instructions",
    "tlbi": "broadcast TLBI without repeats",
    "tlbi_repeat": "TLBI repeats of the kernel's workaround",
    "ic_ivau": "IC IVAU",
    "dc_cvau": "DC CVAU",
    "isb": "ISB",
}


class RunsError(Exception):
    """Something is wrong with the runs."""


class Run:
    """One guest: the model's regions and the guest's own lines about them."""

    def __init__(self, directory: pathlib.Path, guest: plan.Guest):
        self.guest, self.name = guest, guest.name
        self.text, self.header, self.total, self.regions = "", {}, {}, {}
        if guest.models:
            self.text = (directory / f"{self.name}.json").read_text()
            self.parse()
            self.check()
        said = (directory / f"{self.name}.guest").read_text().splitlines()
        self.lines = [json.loads(line) for line in said if line.startswith("{")]
        if not self.lines or self.lines[-1] != {"line": "end"}:
            raise RunsError(f"{self.name}: the guest did not come to its end")
        for line in self.lines:
            if "region" in line and line["region"] not in self.regions:
                raise RunsError(f"{self.name}: no region {line['region']}")

    def parse(self) -> None:
        """Takes the model's output apart."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        if [line["line"] for line in (lines[:1] + lines[-1:])] != ["header", "total"]:
            raise RunsError(f"{self.name}: the model's output is not complete")
        self.header, self.total = lines[0], lines[-1]
        for line in lines[1:-1]:
            if line["region"] in self.regions:
                raise RunsError(f"{self.name}: region {line['region']} twice")
            self.regions[line["region"]] = line

    def check(self) -> None:
        """The model's checks of itself, over the whole run."""
        for what in ["marker_errors", "open_regions"]:
            if self.total[what]:
                raise RunsError(f"{self.name}: {what}: {self.total[what]}")
        for model in self.total["models"]:
            for what in ["stale_hits", "walks_wrong"]:
                if model[what]:
                    raise RunsError(f"{self.name}: {model['model']}: {what}: {model[what]}")
            if not model["stale_checked"] or not model["walks_checked"]:
                raise RunsError(f"{self.name}: {model['model']} was not checked")

    @property
    def models(self) -> list[str]:
        """The names of its models."""
        return [model["model"] for model in self.header["models"]]

    def said(self, kind: str) -> list[dict]:
        """The guest's lines of a kind."""
        return [line for line in self.lines if line["line"] == kind]

    def region(self, line: dict) -> dict:
        """What the model counted in the region of a line."""
        return self.regions[line["region"]]


class Runs:
    """All planned runs."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.all = [Run(directory, guest) for guest in plan.read(directory / "plan")]
        by_name = {run.name: run for run in self.all}
        self.repeated = [run.guest.repeats for run in self.all if run.guest.repeats]
        for run in self.all:
            if run.guest.repeats and run.text != by_name[run.guest.repeats].text:
                raise RunsError(f"{run.name}: differs from the first run")
        if not self.repeated:
            raise RunsError("no guest was run twice")

    def of(self, purpose: str) -> list[Run]:
        """The runs for a purpose, without those that only repeat another and without twins."""
        return [
            run
            for run in self.all
            if run.guest.purpose == purpose and not run.guest.repeats and not run.guest.twin_of
        ]

    def twins(self) -> list[tuple[Run, Run]]:
        """Pairs of runs of one layout, with pages elsewhere in the second."""
        by_name = {run.name: run for run in self.all}
        found = []
        for run in self.all:
            if run.guest.twin_of and not run.guest.repeats:
                if run.guest.twin_of not in by_name:
                    raise RunsError(f"{run.name}: no guest {run.guest.twin_of}, whose twin it is")
                found.append((by_name[run.guest.twin_of], run))
        return found

    def layouts(self, purpose: str, wanted: Iterable[str] = ()) -> dict[str, Run]:
        """One run for each layout; all `wanted` layouts if there is any."""
        found = {run.guest.layout: run for run in self.of(purpose)}
        missing = [layout for layout in wanted if layout not in found]
        if found and missing:
            raise RunsError(f"no guest for {purpose} with layout {', '.join(missing)}")
        return found


def tlbi(region: dict) -> int:
    """TLBI that all CPUs must do, without the repeats of the kernel's workaround."""
    return (
        sum(kind["inner"] + kind["outer"] for kind in region["tlbi"].values())
        - (region["tlbi_repeat"])
    )


def counts(region: dict) -> dict:
    """What a region cost."""
    cost = {what: tlbi(region) if what == "tlbi" else region[what] for what in COSTS}
    return cost | {"call_sgi": region["sgi"].get("1", 0)}


def model_figures(region: dict) -> dict:
    """Misses and walks of each class in each model."""
    return {
        f"{cls} {what}, {model['model']}": model["class"][cls][what]
        for cls in CLASSES
        for model in region["models"]
        for what in ["misses", "walks"]
    }


def spread(values: Iterable[float]) -> list:
    """The smallest and the largest."""
    values = list(values)
    return [min(values), max(values)]


def spreads(repeats: list[dict]) -> dict:
    """The smallest and the largest of each count."""
    return {what: spread(one[what] for one in repeats) for what in repeats[0]}


def less_idle(window: dict, before: dict, after: dict) -> dict:
    """A window of time, less the mean of the idle windows before and after it.

    Also half the difference of these two, as the uncertainty of the instructions.
    """
    net = {what: window[what] - (before[what] + after[what]) / 2 for what in window}
    net = {what: int(value) if value == int(value) else value for what, value in net.items()}
    return net | {"insns_uncertain": abs(before["insns"] - after["insns"]) / 2}
