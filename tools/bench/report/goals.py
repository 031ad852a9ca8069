# SPDX-License-Identifier: GPL-2.0
"""Each goal beside stock's figure and the module's: met, or missed by how much.

All figures are those of other subjects. A goal whose figure the run does not have is said so.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import plan

from . import attach, entropy, environment, fragmentation, linear, memory, syncs
from .compare import Worse, beyond_chance
from .runs import Runs, spread
from .text import both, number, section as titled, table

TITLE = "## Goals"
NOT_HERE = "not in this plan"
# Where a number comes from that is stock's figure of the same run.
STOCK = "stock's own"
# The most that a call may cost beside many images, times what it costs beside none.
FLAT = 1.05
# The most packs after random operations, times those that perfect packing needs.
PACKING = 1.08
MILLION = 1_000_000
# At most so many minutes on two idle cores, by the name of the plan.
MINUTES = {"full": 60, "quick": 8}


@dataclass(frozen=True)
class Goal:
    """One goal. A figure is a smallest and a largest."""

    text: str
    # None: there is no number, or it depends on a figure that the run does not have.
    wanted: float | None
    # Where the number comes from, if it is not the goal's own.
    of: str = ""
    stock: list[float] | None = None
    module: list[float] | None = None
    # Whether the figure must be at least, not at most, what is wanted.
    least: bool = False
    # What stands in the place of a verdict where there is nothing to judge by.
    note: str = ""

    @property
    def missed_by(self) -> float | None:
        """By how much, 0 if it is met; None without a figure."""
        if self.module is None or self.wanted is None:
            return None
        low, high = self.module
        return max(0, self.wanted - low if self.least else high - self.wanted)

    @property
    def missed(self) -> str:
        """By how much it is missed, in words."""
        by = self.missed_by or 0
        share = f" ({100 * by / self.wanted:.1f} %)" if self.wanted else ""
        return f"missed by {syncs.value(by)}{share}"

    @property
    def verdict(self) -> str:
        """Met, or missed by how much."""
        if self.missed_by is None:
            return self.note or NOT_HERE
        return f"**{self.missed}**" if self.missed_by else "met"


def alone(value: float) -> list[float]:
    """A figure that is one number."""
    return [value, value]


def find(rows: list[dict], **wanted: object) -> dict | None:
    """The row that has these members, or None."""
    return next(iter(find_all(rows, **wanted)), None)


def find_all(rows: list[dict], **wanted: object) -> list[dict]:
    """All rows that have these members."""
    return [row for row in rows if all(row[key] == wanted[key] for key in wanted)]


def of_worse(worse: list[Worse]) -> Iterator[Goal]:
    """The list of figures that are worse than stock's."""
    count = len(beyond_chance(worse))
    rest = f"{len(worse) - count} more by chance" if count < len(worse) else ""
    yield Goal("figures in the list of those worse than stock's", 0, rest, None, alone(count))


def of_syncs(subjects: dict) -> Iterator[Goal]:
    """Synchronisations of all CPUs."""

    def goal(name: str, **wanted: object) -> Goal:
        kind = str(wanted["what"])
        row = find(subjects["syncs"], **wanted)
        sides = [syncs.each(row, layout) for layout in syncs.LAYOUTS] if row else [None, None]
        return Goal(f"synchronisations {name}", syncs.GOALS[kind], "", *sides)

    for functions in [1, 8, 64]:
        name = "one function" if functions == 1 else f"{functions} functions"
        yield goal(f"of a load of {name}", what="load", functions=functions, times=10)
    for cpus in [1, 2, 4]:
        where = "one CPU" if cpus == 1 else f"{cpus} CPUs at once"
        wanted = {"what": "load", "functions": 1, "times": 1000, "from": cpus}
        yield goal(f"of each of 1,000 loads from {where}", **wanted)
    yield goal("of each of 10,000 frees", what="free")


def of_calls(subjects: dict) -> Iterator[Goal]:
    """Direct calls for 256 B through the hooks, with nothing live and beside many images."""
    rows = subjects["direct"]["lives"]

    def pair(call: str, live: int, state: str) -> list:
        row = find(rows, live=live, state=state, bytes=256)
        return [row["ways"][way][call]["insns"] for way in ("stock", "hooks")] if row else []

    base = {}
    for call in ["alloc", "finalize", "free"]:
        stock, module = pair(call, 0, "fresh")
        base[call] = module[1]
        text = f"instructions of {call}, nothing live"
        if call == "finalize":
            # No figure has this part alone.
            text += ", with its synchronisation (stricter: the goal is without)"
        yield Goal(text, stock[1], STOCK, stock, module)
    for live in [1000, 10000, 100000]:
        for state in ["fresh", "churn"]:
            for call, most in base.items():
                name = f"instructions of {call} beside {number(live)} live, {state}"
                of = f"{FLAT} × nothing live"
                yield Goal(name, FLAT * most, of, *pair(call, live, state))


def of_holds(subjects: dict) -> Iterator[Goal]:
    """The longest hold of the lock."""
    stock, module = (alone(subjects["holds"][side]) for side in ["stock", "module"])
    images = number(subjects["holds"]["live"])
    text = f"instructions of the longest hold of the lock, {images} images made and freed"
    more = module[1] - stock[1]
    note = f"{'above' if more > 0 else 'below'} stock's by {number(abs(more))}"
    wanted = "a page of the index, of which there is no figure"
    yield Goal(text, None, wanted, stock, module, note=note if more else "the same as stock's")


def of_packs(subjects: dict) -> Iterator[Goal]:
    """Packs after a million random operations; the first load."""
    models = [lines["module"] | {"lines": lines} for lines in subjects["fragmentation"]["lines"]]
    for live, share in [(10000, 1.0), (100000, PACKING)]:
        seeds = find_all(models, live=live, operations=MILLION)
        text = f"packs reserved for {number(live)} images after a million random operations"
        if not seeds:
            yield Goal(text, None)
            continue
        perfect = spread(fragmentation.perfect(row["lines"]) for row in seeds)
        packs = [
            spread(row["lines"][side]["reserved"] // fragmentation.PACK for row in seeds)
            for side in fragmentation.ALLOCATORS
        ]
        # The smallest decides, whichever seed it is of.
        of = f"{share:g} × perfect {both(perfect)}"
        seen = f"{text}, {len(seeds)} seeds" if len(seeds) > 1 else text
        yield Goal(seen, share * perfect[0], of, *packs)
    row = find(subjects["loads"]["main"], live=0, bytes=256)
    stock, module = (row["layouts"][layout] for layout in ["stock", "near"])
    made = find(subjects["direct"]["lives"], live=0, state="fresh", bytes=256)
    pack = made["ways"]["stock"]["first alloc"]["insns"][0]
    yield Goal(
        "instructions that the first load has more than stock's: none for a pack",
        pack / 100,
        f"1 % of the {number(pack)} of an alloc that makes a pack, stock's",
        None,
        alone(module["first"]["insns"] - stock["first"]["insns"]),
    )


def of_memory(subjects: dict) -> Iterator[Goal]:
    """Memory of 1,000 programs."""
    row = find(subjects["memory"], mix="realistic", live=1000)
    stock, both = (memory.total(row, layout) / 2**20 for layout in ["stock", "near"])
    own = row["layouts"]["near"]["module"]["bytes"] / 2**20
    text = "MiB reserved for 1,000 programs"
    yield Goal(f"{text} by the module", stock, STOCK, alone(stock), alone(own))
    name = f"{text}, stock's pack from before insmod included"
    yield Goal(name, stock, STOCK, alone(stock), alone(both))


def of_linear(subjects: dict) -> Iterator[Goal]:
    """The linear map, after packs were made and freed."""
    rows = linear.compared(subjects["linear"])
    for packs in [1, 10, 50]:
        found = [row for row in rows if row["packs"] == packs]
        for row in found or [{"packs": packs, "memory": "fresh"}]:
            for what, text in [("split", "blocks that stay split"), ("leaves", "leaves that stay")]:
                sides = [alone(count) for count in linear.added(rows, row, what)] if found else []
                yield Goal(f"the linear map's {text} more, {linear.name_of(row)}", 0, "", *sides)


def of_attached(subjects: dict) -> Iterator[Goal]:
    """Trampolines that are reached directly."""
    found = subjects["attach"]
    sides = (
        [alone(attach.direct_share(found[layout])) for layout in attach.LAYOUTS] if found else []
    )
    name, of = "% of 1,000 attached functions reached directly", "ours; the share was asked for"
    yield Goal(name, 100, of, *sides, least=True)
    sides = [alone(round(attach.added(found[side]))) for side in attach.LAYOUTS] if found else []
    name = "instructions added to a call, 1,000 functions attached"
    yield Goal(name, sides[0][1] if sides else None, STOCK, *sides)


def of_entropy(subjects: dict) -> Iterator[Goal]:
    """Places that differ from one insmod to the next, and memory nodes."""
    for one in entropy.goals(subjects["entropy"]):
        yield Goal(**one)
    note = f"{NOT_HERE}: a self-test, scripts/test arm64_numa"
    yield Goal("packs on the node of the CPU that loads", None, "all", note=note)


def of_time(runs: Runs) -> Iterator[Goal]:
    """How long the plans take, building what was missing included."""
    found = {"lines": environment.lines_of(runs)}
    name = environment.line_of(found, "plan")
    for one, most in MINUTES.items():
        text = f"minutes of `{environment.COMMANDS[one]}`"
        if one != name:
            yield Goal(text, None, f"under {most}")
            continue
        try:
            seconds, jobs = environment.line_of(found, "seconds").split(", ")
        except LookupError:
            planned = plan.minutes([run.guest for run in runs.all], 2)
            yield Goal(text, None, f"under {most}", note=f"not measured: {planned} planned")
            continue
        # Rounded up, to tenths.
        module = alone(math.ceil(int(seconds) / 6) / 10)
        yield Goal(f"{text}, {jobs}, on this machine", most, "", None, module)


# In the order of the issue that set them.
GROUPS: list[Callable[[dict], Iterator[Goal]]] = [
    of_syncs,
    of_calls,
    of_holds,
    of_packs,
    of_memory,
    of_linear,
    of_entropy,
    of_attached,
]


def rows(runs: Runs, subjects: dict, worse: list[Worse]) -> list[dict]:
    """Every goal, from the rows of the subjects; what JSON can hold."""
    found = [
        *of_worse(worse),
        *(goal for group in GROUPS for goal in group(subjects)),
        *of_time(runs),
    ]
    return [asdict(goal) | {"verdict": goal.verdict} for goal in found]


def goals(found: list[dict]) -> list[Goal]:
    """The goals of these rows."""
    return [Goal(**{name: row[name] for name in Goal.__annotations__}) for row in found]


def summary(found: list[dict]) -> str:
    """How many are met, and by how much the others are not."""
    every = goals(found)
    seen = [goal for goal in every if goal.missed_by is not None]
    missed = [goal for goal in seen if goal.missed_by]
    text = f"* **Goals**: {len(seen) - len(missed)} of {len(seen)} are met"
    if missed:
        text += "; " + "; ".join(f"{goal.text}: {goal.missed}" for goal in missed)
    noted = sum(bool(goal.note) for goal in every)
    left = len(every) - len(seen) - noted
    text += f". {noted} more are shown without a verdict" if noted else ""
    return text + (f". {left} more need figures that this plan does not have." if left else ".")


def cell(figure: list[float] | None) -> str:
    """A figure in a table."""
    return "" if figure is None else syncs.values(figure)


def wanted(goal: Goal) -> str:
    """What is wanted, in a table."""
    if goal.wanted is None:
        return goal.of
    text = f"{'≥' if goal.least else '≤'} {syncs.value(goal.wanted)}"
    return f"{text} ({goal.of})" if goal.of else text


def section(found: list[dict]) -> str:
    """The section of the report."""
    body = [
        [goal.text, cell(goal.stock), cell(goal.module), wanted(goal), goal.verdict]
        for goal in goals(found)
    ]
    return titled(
        TITLE,
        "The goals that were set for the module, beside the figures of this run; the sections "
        "below say how each is measured. Smallest..largest; the largest decides, and the "
        "smallest where at least something is wanted. Of perfect packs the smallest number "
        "counts. Calls are those of 256 B through the hooks. A finalize includes the "
        "synchronisation that it makes when no other shares it, stock's as the module's: on the "
        "one CPU of these guests that interrupts nobody. The goal that was set for it is without "
        "that; no figure has this part alone, so what is wanted here is stricter, and a miss is "
        "smaller than it looks.",
        table(["goal", "stock", "module", "wanted", ""], body),
    )
