# SPDX-License-Identifier: GPL-2.0
"""The original workload alone: the figures of the original benchmark, of the model."""

from .compare import Worse
from .misses import count, scenarios
from .runs import CLASSES, MAIN, Runs
from .text import SHORT, number, section as titled, table

LAYOUTS = ["page", "stock", "far", "near"]


def rows(runs: Runs) -> list[dict]:
    """The scenarios of the original workload."""
    wanted = scenarios(runs.layouts("main", ["stock", "near"]))
    return [row for row in wanted if row["mix"].startswith("original")]


def worse(_found: list[dict]) -> list[Worse]:
    """Nothing: these scenarios are among those of misses.py."""
    return []


def summary(_found: list[dict]) -> list[str]:
    """No line: what counts is the workload beside a compiler."""
    return []


def section(found: list[dict]) -> str:
    """The section of the report."""
    if not found:
        return titled("## The original workload", "Not run.")
    body = []
    for row in found:
        for layout in [layout for layout in LAYOUTS if layout in row["layouts"]]:
            cell = row["layouts"][layout]
            every = {
                what: sum(count(row, layout, what, cls=cls) for cls in CLASSES)
                for what in ["misses", "walks"]
            }
            workload = row["mix"].removeprefix("original-")
            line = [f"{workload}, {row['live'] // 8} processes, {row['temperature']}"]
            line += [SHORT[layout], cell["hot_pages"], number(cell["insns"])]
            line += [number(value) for value in every.values()]
            line += [f"{1000 * value / cell['insns']:.4f}" for value in every.values()]
            line += [number(count(row, layout)), "/".join(map(str, cell["lengths"]))]
            body.append(line)
    head = ["workload", "layout", "hot pages", "instructions", "misses", "walks"]
    head += ["misses per 1,000", "walks per 1,000", "bpf misses", "jited bytes"]
    return titled(
        "## The original workload",
        "Eight programs in each process, written from the description; five of them run in each "
        "round. One process makes the calls (it runs the programs of all processes) and nothing "
        "else runs: that is not the original's set-up, which is the next section. Misses and "
        f"walks of {MAIN}, of all classes together, as the original counted; the instructions of "
        "the whole region include timer ticks, whose place differs from layout to layout. "
        "Without KASLR, which does not repeat, stock's pack is near the kernel's text and its "
        "calls are short: in an ordinary boot, stock's jited bytes (tracepoint/kprobe/kretprobe) "
        "are more.",
        table(head, body),
    )
