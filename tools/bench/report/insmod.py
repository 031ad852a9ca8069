# SPDX-License-Identifier: GPL-2.0
"""Inserting the module, once."""

from .compare import Worse
from .runs import Runs, counts
from .text import SHORT, in_order, number, section as titled, table

# Regions of guest/run.sh.
INSMOD, NOTHING = 1, 2


def rows(runs: Runs) -> dict:
    """Costs of inserting the module, beside those of an insmod that fails."""
    return {
        layout: {
            "insmod": counts(run.regions[INSMOD]),
            "nothing": counts(run.regions[NOTHING]),
        }
        for layout, run in runs.layouts("main").items()
        if layout != "stock"
    }


def worse(_found: dict) -> list[Worse]:
    """Nothing: the stock kernel has no counterpart."""
    return []


def summary(_found: dict) -> list[str]:
    """No line: it happens once."""
    return []


def section(found: dict) -> str:
    """The section of the report."""
    body = []
    for layout in in_order(found):
        row = found[layout]
        cells = [number(row["insmod"]["insns"]), number(row["nothing"]["insns"])]
        cells += [number(row["insmod"][what]) for what in ["tlbi", "ic_ivau"]]
        body.append([SHORT[layout], *cells])
    return titled(
        "## Inserting the module, once",
        "The whole of insmod, reading and linking the module included; a failing insmod beside it.",
        table(["layout", "instructions", "failing insmod", "TLBI", "IC IVAU"], body),
    )
