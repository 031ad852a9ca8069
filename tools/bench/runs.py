# SPDX-License-Identifier: GPL-2.0
"""What the benchmark's guests left: reads it and checks it. All rows are made of this."""

import json

# The model that figures are of where none is named.
MAIN = "n1/lru"
# Guests of this suite run without the model: hardware.py reads them.
UNMODELLED = "hardware"


class Bad(Exception):
    """Something is wrong with the runs."""


class Run:
    """One guest: the model's regions and the guest's own lines about them."""

    def __init__(self, directory, name, layout, cpu, suite, cpus, flavour):
        self.name, self.layout, self.cpu, self.suite, self.cpus, self.flavour = name, layout, cpu, suite, int(cpus), flavour
        self.text = (directory / f"{name}.json").read_text()
        lines = [json.loads(line) for line in self.text.splitlines()]
        self.header, self.total = lines[0], lines[-1]
        if self.header["line"] != "header" or self.total["line"] != "total":
            raise Bad(f"{name}: the model's output is not complete")
        self.regions = {}
        for line in lines[1:-1]:
            if line["region"] in self.regions:
                raise Bad(f"{name}: region {line['region']} twice")
            self.regions[line["region"]] = line
        said = (directory / f"{name}.guest").read_text().splitlines()
        self.lines = [json.loads(line) for line in said if line.startswith("{")]
        if not self.lines or self.lines[-1] != {"line": "end"}:
            raise Bad(f"{name}: the guest did not come to its end")
        self.check()

    def check(self):
        """The model's checks of itself, over the whole run."""
        for what in ["marker_errors", "open_regions"]:
            if self.total[what]:
                raise Bad(f"{self.name}: {what}: {self.total[what]}")
        for model in self.total["models"]:
            for what in ["stale_hits", "walks_wrong"]:
                if model[what]:
                    raise Bad(f"{self.name}: {model['model']}: {what}: {model[what]}")
            if not model["stale_checked"] or not model["walks_checked"]:
                raise Bad(f"{self.name}: {model['model']} was not checked")
        for line in self.lines:
            if "region" in line and line["region"] not in self.regions:
                raise Bad(f"{self.name}: no region {line['region']}")

    def said(self, kind):
        """The guest's lines of a kind."""
        return [line for line in self.lines if line["line"] == kind]

    def region(self, line):
        """What the model counted in the region of a line."""
        return self.regions[line["region"]]


def plan(directory):
    """The plan's lines."""
    return (directory / "plan").read_text().splitlines()


def load(directory):
    """All planned runs."""
    runs = {}
    for fields in map(str.split, plan(directory)):
        if fields[3] == UNMODELLED:
            continue
        runs[fields[0]] = Run(directory, *fields)
    for name, run in runs.items():
        if name.endswith("-again") and run.text != runs[name.removesuffix("-again")].text:
            raise Bad(f"{name}: differs from the first run")
    if not any(name.endswith("-again") for name in runs):
        raise Bad("no guest was run twice")
    return runs


def tlbi(region):
    """TLBI that all CPUs must do, without the repeats of the kernel's workaround."""
    return sum(kind["inner"] + kind["outer"] for kind in region["tlbi"].values()) - region["tlbi_repeat"]


def counts(region):
    """What a region cost."""
    return {"insns": region["insns"], "tlbi": tlbi(region), "tlbi_repeat": region["tlbi_repeat"],
            "ic_ivau": region["ic_ivau"], "dc_cvau": region["dc_cvau"], "isb": region["isb"],
            "call_sgi": region["sgi"].get("1", 0)}


def spread(values):
    """The smallest and the largest."""
    return [min(values), max(values)]
