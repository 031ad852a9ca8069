# SPDX-License-Identifier: GPL-2.0
"""The tables of figures in README.md, between marks: made of a report, and checked.

A block begins with `<!-- begin: NAME, printed by scripts/bench --readme -->` and ends with
`<!-- end: NAME -->`. One figure stands in a cell. The last block has the goals that are missed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import calls, environment, goals, memory, misses, syncs, tools
from .runs import MAIN
from .text import mib, number, table

HEAD = ["", "stock", "module"]
# Before the text of a figure that is worse than stock's.
WORSE = "**worse:** "
# What may stand in a cell.
CELL = re.compile(r"^\d[\d,]*( MiB)?$")
SAYS = re.compile(
    r"^Figures of `(make bench|make bench-quick)`, kernel \S+, module of revision \S+:$"
)


@dataclass(frozen=True)
class Figure:
    """One line of a table: its text, and how to get stock's and the module's value."""

    text: str
    get: Callable[[dict], tuple[float, float]]
    form: Callable[[float], str] = number


def pick(rows: list[dict], **wanted: object) -> dict:
    """The row that has these members."""
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise LookupError(f"no row {wanted}")


def load(what: str) -> Callable[[dict], tuple]:
    """A load of 256 B with nothing else live."""

    def get(subjects: dict) -> tuple:
        row = pick(subjects["loads"]["main"], live=0, bytes=256)
        sides = [row["layouts"][layout][what]["insns"] for layout in ("stock", "near")]
        return tuple(side[0] if what == "load" else side for side in sides)

    return get


def call(name: str, figure: str = "insns", **scenario: object) -> Callable[[dict], tuple]:
    """The largest of a figure of a direct call."""

    def get(subjects: dict) -> tuple:
        row = pick(subjects["direct"]["lives"], **scenario)
        return tuple(row["ways"][way][name][figure][1] for way in ("stock", "hooks"))

    return get


def hot(what: str = "misses", purpose: str = "main", **scenario: object) -> Callable[[dict], tuple]:
    """Misses or walks of all rounds of a scenario."""

    def get(subjects: dict) -> tuple:
        row = pick(subjects["misses"][purpose]["rows"], temperature="warm", **scenario)
        return tuple(misses.count(row, layout, what) for layout in ("stock", "near"))

    return get


def beside_compiler(cls: str, what: str = "misses") -> Callable[[dict], tuple]:
    """Misses or walks beside the compiler."""

    def get(subjects: dict) -> tuple:
        sides = [subjects["compiler"][layout]["models"][MAIN] for layout in ("stock", "near")]
        return tuple(side[cls][what] for side in sides)

    return get


def with_kaslr(get_one: Callable[[dict], float]) -> Callable[[dict], tuple]:
    """A figure of the guests with KASLR."""

    def get(subjects: dict) -> tuple:
        row = pick(subjects["calls"], kaslr=True)
        return tuple(round(get_one(row["layouts"][layout])) for layout in ("stock", "near"))

    return get


def reserved(subjects: dict) -> tuple:
    """Memory of 1,000 programs."""
    row = pick(subjects["memory"], mix="realistic", live=1000)
    return tuple(memory.total(row, layout) for layout in ("stock", "near"))


REALISTIC = {"mix": "realistic", "live": 1000, "hot": 100}
FIGURES = [
    Figure("one load of a small program (256 B), instructions at least", load("load")),
    *(
        Figure(
            f"a call of {name} for it, nothing else live, at most",
            call(name, live=0, state="fresh", bytes=256),
        )
        for name in ["alloc", "finalize", "free"]
    ),
    Figure(
        "the first load, instructions (the first pack is made at insmod)",
        load("first"),
    ),
    Figure("memory of 1,000 programs (stock's own pack stays)", reserved, mib),
    Figure(
        "alloc after churn beside 1,000 live images, instructions at most",
        call("alloc", live=1000, state="churn", bytes=256),
    ),
    Figure(
        "longest hold of the allocator's lock, 10,000 images made and freed, instructions "
        "(stock: of measured calls)",
        lambda subjects: (subjects["holds"]["stock"], subjects["holds"]["module"]),
    ),
    Figure(
        "longest stretch with interrupts off, finalizing 64 KiB, instructions",
        call("finalize", "irqs_off", live=0, state="fresh", bytes=65536),
    ),
    Figure(
        "first-level misses in 20 rounds of 100 programs of real sizes, taken evenly from 1,000",
        hot(place="spread", **REALISTIC),
    ),
    Figure(
        "the same of the first 100 of them, packed side by side", hot(place="dense", **REALISTIC)
    ),
    Figure(
        "the original benchmark's 160 programs, warm: misses in 10 rounds",
        hot(mix="original-faithful", live=160),
    ),
    Figure("the same beside a compiler at work: misses of BPF", beside_compiler("bpf")),
    Figure("the same beside a compiler: walks of BPF", beside_compiler("bpf", "walks")),
    Figure("the same beside a compiler: misses of everything", beside_compiler("all")),
    Figure(
        "jited bytes of a program with 7 helper calls (with KASLR)",
        with_kaslr(lambda costs: costs["helpers"][7]["length"]),
    ),
    Figure(
        "instructions that an empty fentry program adds to a call (with KASLR)",
        with_kaslr(calls.added),
    ),
]
TEN_THOUSAND = {"mix": "realistic", "live": 10000, "hot": 5000, "place": "spread"}
MANY = [
    Figure(
        "alloc after churn beside 10,000 live images, instructions at most",
        call("alloc", live=10000, state="churn", bytes=256),
    ),
    Figure(
        "alloc after churn beside 100,000 live images, instructions at most",
        call("alloc", live=100000, state="churn", bytes=256),
    ),
    Figure("misses in 20 rounds of 5,000 of 10,000 programs, taken evenly", hot(**TEN_THOUSAND)),
    Figure("walks of the same", hot("walks", **TEN_THOUSAND)),
    Figure(
        "misses in 20 rounds of 100 of 1,000 large programs, taken evenly",
        hot(purpose="large", mix="large", live=1000, hot=100, place="spread"),
    ),
    Figure(
        "misses of BPF in 10 rounds of a workload that all tools of libbpf-tools see (with KASLR)",
        hot(purpose="tools", mix=tools.MIX),
    ),
]
# The blocks, and whether only a full run has what they need.
BLOCKS = {"figures": (FIGURES, False), "figures-many": (MANY, True)}
# The block of the goals, its head, and how it begins. Only a full run has all of them.
GOALS = "goals"
GOALS_HEAD = ["goal", "stock", "module", "wanted", ""]
GOALS_SAY = re.compile(
    r"^Figures of `make bench`, kernel \S+, module of revision \S+: (\d+) of (\d+) goals are met\. "
    r"The others:$"
)


def line(figure: Figure, subjects: dict) -> list[str]:
    """One line of a table."""
    stock, module = figure.get(subjects)
    cells = [figure.form(value) for value in (stock, module)]
    return [(WORSE if module > stock else "") + figure.text, *cells]


def block(data: dict, figures: list[Figure]) -> str:
    """One block's text."""
    body = [line(figure, data["subjects"]) for figure in figures]
    return f"{environment.origin(data['environment'])}:\n\n{table(HEAD, body)}"


def goals_block(data: dict) -> str:
    """The goals that are missed, each with the figures that decide."""
    judged = [one for one in goals.goals(data["goals"]) if one.missed_by is not None]
    missed = [one for one in judged if one.missed_by]
    body = []
    for one in missed:
        sides = [
            side and syncs.value(side[0 if one.least else 1]) for side in (one.stock, one.module)
        ]
        body.append([one.text, *(side or "" for side in sides), goals.wanted(one), one.missed])
    met = f"{len(judged) - len(missed)} of {len(judged)} goals are met. The others:"
    return f"{environment.origin(data['environment'])}: {met}\n\n{table(GOALS_HEAD, body)}"


def marks(name: str) -> tuple[str, str]:
    """The lines around a block."""
    return f"<!-- begin: {name}, printed by scripts/bench --readme -->", f"<!-- end: {name} -->"


def find(text: str, name: str) -> tuple[int, int]:
    """Where a block's text begins and ends."""
    begin, end = marks(name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise LookupError(f"README.md has not exactly one block {name}")
    return text.index(begin) + len(begin), text.index(end)


def rewrite(text: str, data: dict) -> tuple[str, list[str]]:
    """README.md with the blocks of this report, and the names of those that it cannot fill."""
    full, left = environment.line_of(data["environment"], "plan") == "full", []
    made = {
        name: block(data, figures)
        for name, (figures, only_full) in BLOCKS.items()
        if full or not only_full
    }
    if full:
        made[GOALS] = goals_block(data)
    for name in [*BLOCKS, GOALS]:
        first, last = find(text, name)
        if name in made:
            text = f"{text[:first]}\n\n{made[name]}\n{text[last:]}"
        else:
            left.append(name)
    return text, left


def complaints_of_line(have: str, wanted: str) -> list[str]:
    """What is wrong with the form of one line of a table."""
    text, *cells = (cell.strip() for cell in have.strip("|").split("|"))
    found = []
    if text.removeprefix(WORSE) != wanted:
        found.append(f"'{text}' stands in the place of '{wanted}'")
    found += [f"no single figure: {cell}" for cell in cells if not CELL.match(cell)]
    if not found:
        stock, module = (int(re.sub(r"\D", "", cell)) for cell in cells)
        if text.startswith(WORSE) != (module > stock):
            found.append(f"'{text}' says wrongly whether the figure is worse than stock's")
    return found


def complaints_of_goals(text: str) -> list[str]:
    """What is wrong with the form of the block of the goals."""
    first, last = find(text, GOALS)
    lines = [line for line in text[first:last].splitlines() if line]
    says = GOALS_SAY.match(lines[0]) if lines else None
    if not says:
        return [f"{GOALS}: does not begin by saying which command printed it"]
    missed = int(says[2]) - int(says[1])
    head, rows = table(GOALS_HEAD, []).splitlines(), lines[3:]
    found = [] if lines[1:3] == head else [f"{GOALS}: not the head of the table"]
    if len(rows) != missed:
        found.append(f"{GOALS}: {len(rows)} lines in the table, not {missed}")
    cells = len(GOALS_HEAD) + 1
    found += [f"{GOALS}: not {cells - 1} cells: {row}" for row in rows if row.count("|") != cells]
    return found + [f"{GOALS}: is not missed: {row}" for row in rows if "| missed by " not in row]


def complaints(text: str) -> list[str]:
    """What is wrong with the form of README.md's blocks: not the figures, but all else."""
    found = complaints_of_goals(text)
    for name, (figures, only_full) in BLOCKS.items():
        first, last = find(text, name)
        lines = [line for line in text[first:last].splitlines() if line]
        expected = [*table(HEAD, []).splitlines(), *(one.text for one in figures)]
        if not lines or not SAYS.match(lines[0]):
            found.append(f"{name}: does not begin by saying which command printed it")
        if only_full and lines and "`make bench`" not in lines[0]:
            found.append(f"{name}: is not of `make bench`")
        if len(lines) - 1 != len(expected):
            found.append(f"{name}: {len(lines) - 1} lines in the table, not {len(expected)}")
        for have, wanted in zip(lines[1:], expected, strict=False):
            if not wanted.startswith("|"):
                found += [f"{name}: {why}" for why in complaints_of_line(have, wanted)]
            elif have != wanted:
                found.append(f"{name}: not the head of the table: {have}")
    return found
