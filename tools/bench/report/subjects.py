# SPDX-License-Identifier: GPL-2.0
"""What the report is about. Each subject is a module with the same four functions.

* rows(runs): what the runs say, checked; what JSON can hold;
* worse(rows): the figures in which the module is worse than stock;
* summary(rows): lines for the head of the report;
* section(rows): its section.
"""

import pathlib
from types import ModuleType

from . import (
    attach,
    calls,
    chance,
    compare,
    compiler,
    direct,
    entropy,
    environment,
    fleet,
    fragmentation,
    goals,
    hardware,
    holds,
    insmod,
    interrupts,
    linear,
    loads,
    many,
    memory,
    misses,
    original,
    plots,
    syncs,
    tools,
)
from .runs import Runs
from .text import section as titled, table, tenths

# In the order of the report.
SUBJECTS: dict[str, ModuleType] = {
    "misses": misses,
    "fleet": fleet,
    "many": many,
    "tools": tools,
    "original": original,
    "compiler": compiler,
    "loads": loads,
    "insmod": insmod,
    "direct": direct,
    "holds": holds,
    "fragmentation": fragmentation,
    "interrupts": interrupts,
    "syncs": syncs,
    "calls": calls,
    "attach": attach,
    "memory": memory,
    "linear": linear,
    "entropy": entropy,
    "hardware": hardware,
}
TITLE = (
    "# bpf_pack: what was measured (stock → module; TLB figures: a model of Neoverse N1's "
    "geometry, LRU)"
)


def collect(directory: pathlib.Path) -> dict:
    """Everything that the report says; raises an error if the runs are not good."""
    runs = Runs(directory)
    rows = {name: subject.rows(runs) for name, subject in SUBJECTS.items()}
    found = [one for name, subject in SUBJECTS.items() for one in subject.worse(rows[name])]
    found = sorted(chance.judged(runs, found), key=lambda one: -one.ratio)
    return {
        "environment": environment.rows(runs),
        "subjects": rows,
        "goals": goals.rows(runs, rows, found),
        "worse": [vars(one) for one in found],
        "twins": chance.names(runs),
        "between_twins": chance.between(runs),
        "not_run": environment.not_run(runs),
        "limits": environment.LIMITS,
    }


def summary(data: dict, found: list[compare.Worse]) -> str:
    """The first lines."""
    beyond = compare.beyond_chance(found)
    text = (
        f"* **Worse than stock** in {len(beyond)} of the figures below, which follow the goals: "
        f"{'; '.join(compare.kinds(beyond))}."
    )
    alone = [one for one in beyond if not one.has_twins]
    kinds = data["between_twins"]
    within = sum(one.difference <= kinds.get(chance.kind(one.what), 0) for one in alone)
    if kinds:
        text += (
            f" {len(alone)} of them have no twins; {within} of these are no more than guests of "
            "one layout differ by somewhere in a figure of the same kind."
        )
    if rest := len(found) - len(beyond):
        text += f" In {rest} more it is so by chance: guests of one layout differ by as much."
    lines = [goals.summary(data["goals"]), text]
    for name, subject in SUBJECTS.items():
        lines += subject.summary(data["subjects"][name])
    return titled(TITLE, environment.origin(data["environment"]) + ".", "\n".join(lines))


def cells_of(one: compare.Worse) -> list[str]:
    """A figure in a table."""
    values = [tenths(value).removesuffix(".0") for value in (one.stock, one.module)]
    return [one.where, one.what, *values, f"+{tenths(one.difference).removesuffix('.0')}"]


def chance_section(found: list[compare.Worse], twins: list[str]) -> str:
    """Where stock is better in one guest of several."""
    head = ["where", "what", "stock", "module (near)", "difference", "stock, twin", "module, twin"]
    body = [
        [
            *cells_of(one),
            *(
                "" if value is None else tenths(value).removesuffix(".0")
                for value in [one.stock_twin, one.module_twin]
            ),
        ]
        for one in found
        if one.by_chance
    ]
    return titled(
        "### By chance",
        f"Some guests have twins: {', '.join(twins)}. They have less memory, so that pages lie "
        "elsewhere, and their suite is the first part of the longer one. Here two guests without "
        "the module, or two with it, differ by as much as one with and one without, and a guest "
        "with the module has no more than a guest without. One twin is one draw: what differs by "
        "chance alone may still be in the list above. So are all figures without twins, such as "
        "those of direct calls.",
        table(head, body) if body else "None.",
    )


def worse_section(found: list[compare.Worse], twins: list[str], between: dict[str, float]) -> str:
    """Where stock is better."""
    head = ["where", "what", "stock", "module (near)", "difference"]
    beyond = [cells_of(one) for one in compare.beyond_chance(found)]
    if twins:
        head.append("between twins, at most")
        for one, cells in zip(compare.beyond_chance(found), beyond, strict=True):
            most = between.get(chance.kind(one.what))
            cells.append("" if most is None else tenths(most).removesuffix(".0"))
    section = titled(
        "## Where the module is worse than stock",
        "Every count below of which more is worse, however small the difference; of several "
        "repeats the largest, but of loads of 100,000 programs the smallest. Counts that follow "
        "from these are left out (DC CVAU, repeats of TLBI, the same misses of another model that "
        "has the same first level). Sorted by the difference in parts of stock's figure (of 1 "
        "where stock has less). Timer ticks fall elsewhere in another layout, and one different "
        "address changes everything that random replacement draws afterwards: both show as "
        "small differences of either sign. Instructions of frees are listed only beyond the "
        "background's own change. Where there are twins (below), the last column says by how much "
        "two guests of one layout differ at most in a figure of the same kind, anywhere.",
        table(head, beyond) if beyond else "In no figure below.",
    )
    return "\n".join([section, chance_section(found, twins)] if twins else [section])


def report(data: dict) -> str:
    """The whole report."""
    found = [compare.Worse(**one) for one in data["worse"]]
    not_run = "\n".join(f"* {what}: {why}." for what, why in data["not_run"])
    return "\n".join(
        [
            summary(data, found),
            goals.section(data["goals"]),
            worse_section(found, data["twins"], data["between_twins"]),
            plots.section(),
            environment.section(data["environment"]),
            *(subject.section(data["subjects"][name]) for name, subject in SUBJECTS.items()),
            environment.published(),
            titled("## Limits", data["limits"]),
            titled("## Not run", not_run),
        ]
    )
