# SPDX-License-Identifier: GPL-2.0
"""Where programs are: each time that the module is inserted, and in each boot of stock."""

import math
from collections import Counter

from .compare import Worse, worse as more
from .runs import Run, Runs, RunsError
from .text import number, section as titled, table

TITLE = "## Places of programs"
PACK, PAGE, CHUNK = 2 << 20, 4096, 64
# How many places the first image of a pack may have, by the parameter randomize.
PLACES = {0: 4096, 1: PACK // CHUNK}
# How sure "at least" so many bits is, and how seldom a goal is missed by bad luck.
SURE, UNLUCKY = 0.95, 0.001


def measured(values: list[int], step: int) -> dict:
    """How often values repeat, in units of `step`."""
    units = [value // step for value in values]
    counts = Counter(units)
    return {
        "step": step,
        "samples": len(units),
        "distinct": len(counts),
        "most": max(counts.values()),
        "equal_pairs": sum(math.comb(count, 2) for count in counts.values()),
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


def share(one: dict) -> float:
    """How often the most frequent value is seen, in percent."""
    return 100 * one["most"] / one["samples"]


def worse(found: dict | None) -> list[Worse]:
    """Where an address of the module repeats more often than stock's."""
    result = []
    for randomize, side in found["module"].items() if found else []:
        pair = share(found["stock"]["page"]), share(side["address"])
        where = f"the first program's address, randomize={randomize}"
        result += more(where, "% of the times it is the same", *pair)
    return result


def mean_at_most(count: int) -> float:
    """The largest mean of rare events that is not refuted by `count` of them."""

    def seldom(mean: float) -> float:
        return sum(
            math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)
        )

    low, high = 0.0, 10.0 + 3 * count
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if seldom(middle) > 1 - SURE else (low, middle)
    return high


def bits_at_least(one: dict) -> float:
    """The collision entropy that there is at least, by the pairs that are equal."""
    pairs = math.comb(one["samples"], 2)
    return max(0.0, -math.log2(mean_at_most(one["equal_pairs"]) / pairs))


def fewest_distinct(samples: int, values: int) -> int:
    """The fewest distinct values that all but UNLUCKY of uniform samples have."""
    # chances[k]: of k distinct values so far.
    chances = [1.0] + [0.0] * samples
    for _ in range(samples):
        chances = [
            chance * k / values + (chances[k - 1] * (values - k + 1) / values if k else 0)
            for k, chance in enumerate(chances)
        ]
    seen, fewest = 0.0, 0
    while seen + chances[fewest] <= UNLUCKY:
        seen += chances[fewest]
        fewest += 1
    return fewest


def goals(found: dict | None) -> list[tuple]:
    """(text, wanted, where that comes from, stock, module) of each goal."""
    result = []
    for randomize, what, name in [
        (0, "place", "the first image in its pack"),
        (1, "place", "the first image in its pack, randomize=1"),
        (1, "second", "the second image from the first, randomize=1"),
    ]:
        if not found:
            result.append((f"distinct places of {name}", None, "", None, None))
            continue
        stock, one = found["stock"]["page"], found["module"][str(randomize)][what]
        result.append(
            (
                f"distinct places of {name}, of {one['samples']} (stock: pages in "
                f"{stock['samples']} boots)",
                fewest_distinct(one["samples"], PLACES[randomize]),
                f"as of {number(PLACES[randomize])} equal chances",
                [stock["distinct"]] * 2,
                [one["distinct"]] * 2,
            )
        )
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


def line(who: str, what: str, one: dict) -> list[str]:
    """A line of the table."""
    unit = {PACK: "2 MiB", PAGE: "4 KiB", CHUNK: "64 B"}[one["step"]]
    cells = [one["samples"], one["distinct"], one["most"], one["equal_pairs"], one["range"]]
    bits = [bits_at_least(one), math.log2(one["range"])]
    return [who, what, unit, *map(number, cells), *(f"{value:.1f}" for value in bits)]


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
        line(f"module, randomize={randomize}", name, side[what])
        for randomize, side in found["module"].items()
        for what, name in names.items()
    ]
    stock = {"page": "the first image's page", "from_text": "the same, from the kernel's text"}
    body += [line("stock", name, found["stock"][what]) for what, name in stock.items()]
    head = ["", "what", "in units of", "seen", "distinct", "the most frequent", "equal pairs"]
    head += ["from lowest to highest", "bits, at least", "bits, if uniform over that"]
    return titled(
        TITLE,
        "With KASLR. The module: inserted and removed again and again in one boot, with two "
        "programs each time. The stock allocator cannot be loaded again: some boots, each with "
        "the kernel at another place; so its addresses are also shown as they are. An address is "
        "that of the chunk (the JIT moves an image a little inside of it, in both). Bits, at "
        f"least: the collision entropy that the equal pairs do not refute ({SURE:.0%}), which is "
        "little for few samples, and nothing for three. Bits, if uniform: the logarithm of how "
        "many units there are from the lowest to the highest. The first image has one of 4,096 "
        "places in its pack, with randomize=1 one of 32,768.",
        table(head, body),
    )
