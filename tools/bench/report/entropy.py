# SPDX-License-Identifier: GPL-2.0
"""Where programs are: each time that the module is inserted, and in each boot of stock."""

import math
from collections import Counter

from .compare import Worse
from .runs import Run, Runs, RunsError
from .text import number, section as titled, table

TITLE = "## Places of programs"
PACK, PAGE, CHUNK = 2 << 20, 4096, 64
# How many places the first image of a pack may have, by the parameter randomize.
PLACES = {0: 4096, 1: PACK // CHUNK}
# How many free places near the kernel's text a pack has, about.
BASES = 90
# How sure "at least" so many bits is, and how seldom bad luck misses a goal of distinct values and
# of the most frequent pack.
SURE, UNLUCKY, CROWDED = 0.95, 0.001, 0.01
# Each goal: its text, the parameter randomize, of which places, and the figure of these.
FIRST = "of the first image in its pack"
GOALS = [
    ("times that the most frequent pack is seen", 0, "pack", "most"),
    ("times that the most frequent pack is seen", 1, "pack", "most"),
    (f"distinct places {FIRST}", 0, "place", "distinct"),
    (f"distinct places {FIRST}", 1, "place", "distinct"),
    (f"places from the lowest to the highest {FIRST}", 1, "place", "range"),
    ("distinct places of the second image from the first", 1, "second", "distinct"),
]


def measured(values: list[int], step: int) -> dict:
    """How often values repeat, in units of `step`."""
    units = [value // step for value in values]
    counts = Counter(units)
    return {
        "step": step,
        "samples": len(units),
        "distinct": len(counts),
        "most": max(counts.values()),
        "range": max(units) - min(units) + 1,
    }


def places(run: Run, randomize: int) -> list[dict]:
    """The guest's lines; each has the images of two programs."""
    lines = [line for line in run.said("places") if line["randomize"] == randomize]
    if not lines or any(len(line["images"]) != 2 for line in lines):
        raise RunsError(f"{run.name}: no places of programs")
    return lines


def of_module(run: Run, randomize: int) -> dict:
    """The places in one boot of the module, which was inserted many times."""
    lines = places(run, randomize)
    if len({line["text"] for line in lines}) != 1:
        raise RunsError(f"{run.name}: the kernel's text moved")
    first = [line["images"][0] for line in lines]
    text = lines[0]["text"]
    return {
        "pack": measured([at - at % PACK - text for at in first], PACK),
        "place": measured([at % PACK for at in first], CHUNK),
        "address": measured([at - text for at in first], CHUNK),
        "second": measured([b - b % CHUNK - a + a % CHUNK for a, b in map(images, lines)], CHUNK),
    }


def images(line: dict) -> list[int]:
    """The addresses of the images of a line."""
    return line["images"]


def of_stock(runs: list[Run]) -> dict:
    """The places in some boots of the stock kernel, with another place of the kernel each time."""
    lines = [line for run in runs for line in places(run, 0)]
    texts = {line["text"] for line in lines}
    if len(texts) != len(runs) or len(runs) < 2:
        raise RunsError("places of programs: the stock kernel was not at another place each time")
    first = [line["images"][0] for line in lines]
    return {
        "page": measured(first, PAGE),
        "from_text": measured([line["images"][0] - line["text"] for line in lines], PAGE),
    }


def rows(runs: Runs) -> dict | None:
    """What repeats; None where the plan has no such guests."""
    guests = runs.of("entropy")
    if not guests:
        return None
    near = [run for run in guests if run.guest.layout == "near"]
    if len(near) != 1:
        raise RunsError("places of programs: not one guest with the module")
    found = {str(randomize): of_module(near[0], randomize) for randomize in PLACES}
    if len({side["place"]["samples"] for side in found.values()}) != 1:
        raise RunsError(f"{near[0].name}: not as many places with both values of randomize")
    return {
        "module": found,
        "stock": of_stock([run for run in guests if run.guest.layout == "stock"]),
    }


def worse(_found: dict | None) -> list[Worse]:
    """No line: stock has too few boots to compare with. The goals compare with equal chances."""
    return []


def at_most(count: int, samples: int, chance: float) -> float:
    """The chance that of so many samples no more than `count` have a value of this chance."""
    return sum(
        math.comb(samples, k) * chance**k * (1 - chance) ** (samples - k) for k in range(count + 1)
    )


def min_entropy(one: dict) -> float:
    """The min-entropy in bits that there is at least.

    By the upper limit of Clopper and Pearson for the chance of the likeliest value, which was seen
    no more often than the most frequent one.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        refuted = at_most(one["most"], one["samples"], middle) <= 1 - SURE
        low, high = (low, middle) if refuted else (middle, high)
    return max(0.0, -math.log2(high))


def distinct(samples: int, values: int) -> list[float]:
    """The chances of 0, 1, 2, ... distinct values in uniform samples."""
    chances = [1.0] + [0.0] * samples
    for _ in range(samples):
        chances = [
            chance * k / values + (chances[k - 1] * (values - k + 1) / values if k else 0)
            for k, chance in enumerate(chances)
        ]
    return chances


def fewest_distinct(samples: int, values: int) -> int:
    """The fewest distinct values that all but UNLUCKY of uniform samples have."""
    chances = distinct(samples, values)
    seen, fewest = 0.0, 0
    while seen + chances[fewest] <= UNLUCKY:
        seen += chances[fewest]
        fewest += 1
    return fewest


def enough(samples: int, fewest: int) -> int:
    """How many equal chances are enough to have so many distinct values every second time."""
    low, high = 0, 1
    while sum(distinct(samples, high)[fewest:]) < 1 / 2:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        passes = sum(distinct(samples, middle)[fewest:]) >= 1 / 2
        low, high = (low, middle) if passes else (middle, high)
    return high


def most_often(samples: int) -> int:
    """How often all but CROWDED of uniform samples have any of the packs' places, at most."""
    count = 0
    while BASES * (1 - at_most(count, samples, 1 / BASES)) > CROWDED:
        count += 1
    return count


def limit(figure: str, samples: int, randomize: int) -> dict:
    """What is wanted of a figure of so many samples, as members of goals.Goal."""
    if figure == "range":
        return {"wanted": PLACES[0] + 1, "of": "more than with randomize=0", "least": True}
    if figure == "most":
        of = f"{samples} samples of {BASES} equal chances"
        return {"wanted": most_often(samples), "of": of}
    of = f"{samples} samples of {number(PLACES[randomize])} equal chances"
    return {"wanted": fewest_distinct(samples, PLACES[randomize]), "of": of, "least": True}


def goals(found: dict | None) -> list[dict]:
    """Each goal, as members of goals.Goal."""
    result = []
    for text, randomize, what, figure in GOALS:
        goal = {"text": f"{text}, randomize={randomize}", "wanted": None}
        if found:
            one, stock = found["module"][str(randomize)][what], found["stock"]["page"]
            goal |= limit(figure, one["samples"], randomize) | {"module": [one[figure]] * 2}
            if figure == "distinct" and what != "second":
                goal["text"] += f" (stock: pages in {stock['samples']} boots)"
                goal["stock"] = [stock[figure]] * 2
        result.append(goal)
    return result


def summary(found: dict | None) -> list[str]:
    """Lines for the head of the report."""
    if not found:
        return []
    stock = found["stock"]["page"]
    parts = [
        f"with randomize={randomize} {side['address']['distinct']} addresses in "
        f"{side['address']['samples']} insmods"
        for randomize, side in found["module"].items()
    ]
    return [
        f"* **The first program's place**: stock {stock['distinct']} page in {stock['samples']} "
        f"boots; module {', '.join(parts)}."
    ]


def line(who: str, what: str, one: dict, uniform: bool) -> list[str]:
    """A line of the table; only some places may be uniform over their range."""
    unit = {PACK: "2 MiB", PAGE: "4 KiB", CHUNK: "64 B"}[one["step"]]
    cells = [one["samples"], one["distinct"], one["most"], one["range"]]
    bits = [f"{min_entropy(one):.1f}", f"{math.log2(one['range']):.1f}" if uniform else ""]
    return [who, what, unit, *map(number, cells), *bits]


def section(found: dict | None) -> str:
    """The section of the report."""
    if not found:
        return titled(TITLE, "Not run: the run is older than this part of the plan.")
    names = {
        "pack": "the pack, from the kernel's text",
        "place": "the first image in its pack",
        "address": "the first image, from the kernel's text",
        "second": "the second image, from the first",
    }
    body = [
        line(f"module, randomize={randomize}", name, side[what], uniform=what != "address")
        for randomize, side in found["module"].items()
        for what, name in names.items()
    ]
    stock = {"page": "the first image's page", "from_text": "the same, from the kernel's text"}
    body += [line("stock", name, found["stock"][one], uniform=False) for one, name in stock.items()]
    head = ["", "what", "in units of", "seen", "distinct", "the most frequent"]
    head += ["from lowest to highest", "bits of min-entropy, at least"]
    head += ["bits, if uniform from lowest to highest"]
    samples = found["module"]["0"]["place"]["samples"]
    fewest = fewest_distinct(samples, PLACES[0])
    return titled(
        TITLE,
        "With KASLR. The module: inserted and removed again and again in one boot, with two "
        "programs each time. The stock allocator cannot be loaded again: some boots, each with "
        "the kernel at another place; so its addresses are also shown as they are. An address is "
        "that of the chunk (the JIT moves an image a little inside of it, in both). Bits of "
        "min-entropy, at least: by the largest chance of one value that the most frequent one does "
        f"not refute (Clopper and Pearson, {SURE:.0%}), which is little for few samples. Bits, if "
        "uniform: the logarithm of how many units there are from the lowest to the highest; not "
        "of addresses from the kernel's text, where most units are no place. The first image has "
        "one of 4,096 places in its pack, with randomize=1 one of 32,768.",
        f"Goals of distinct places say little with few samples: of {samples} samples, {fewest} "
        f"distinct ones are wanted for {number(PLACES[0])} places, which "
        f"{number(enough(samples, fewest))} equal chances pass every second time. A pack has about "
        f"{BASES} free places near the kernel's text; how often the most frequent one may be seen "
        f"is what {1 - CROWDED:.0%} of uniform choices stay within.",
        table(head, body),
    )
