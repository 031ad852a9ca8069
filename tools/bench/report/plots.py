# SPDX-License-Identifier: GPL-2.0
"""Plots as SVG: lines with markers, labelled axes, a legend."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import misses
from .text import section as titled

Line = tuple[str, list[tuple[float, float]]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 80, 40, 50, 70
# From this quotient of the largest and the smallest value on, the axis is logarithmic.
FAR_APART = 100
COLOURS = ["#b2182b", "#2166ac", "#1b7837", "#762a83", "#b35806"]


def powers(low: float, top: float) -> list[float]:
    """Powers of ten from `low`, or less, up to at least `top`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(top))
    return [10**power for power in range(first, last + 1)]


def ticks(top: float) -> list[float]:
    """Round numbers from 0 up to at least `top`."""
    step = 10 ** math.floor(math.log10(max(top, 1)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if top / (step * f) <= 8)
    return [i * step for i in range(math.ceil(top / step) + 1)]


@dataclass
class Axis:
    """One axis: its ticks, how a tick is written, and where a value is, from 0 to 1."""

    ticks: Sequence[float]
    name: Callable[[float], str]
    place: Callable[[float], float]


def linear(top: float, names: Sequence[str] | None = None) -> Axis:
    """From 0; with `names` for an axis that has names at 0, 1, 2 ..."""
    marks = list(range(len(names))) if names else ticks(top)
    end = max(marks[-1], 1) if names else marks[-1] or 1
    name = (lambda tick: names[int(tick)]) if names else (lambda tick: f"{tick:,.10g}")
    return Axis(marks, name, lambda value: value / end)


def logarithmic(low: float, top: float) -> Axis:
    """Over powers of ten."""
    marks = powers(low, top)
    first, wide = math.log10(marks[0]), math.log10(marks[-1] / marks[0]) or 1
    return Axis(marks, lambda tick: f"{tick:,.10g}", lambda v: (math.log10(v) - first) / wide)


def text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def grid(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line of the grid."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def chart(
    title: str, x_label: str, y_label: str, lines: list[Line], names: Sequence[str] | None = None
) -> str:
    """One chart; `names` for a horizontal axis with names."""
    points = [point for _, line in lines for point in line]
    horizontal = linear(max(x for x, _ in points), names)
    low, top = (limit(y for _, y in points) for limit in (min, max))
    vertical = logarithmic(low, top) if low > 0 and top / low > FAR_APART else linear(top)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(value: float) -> float:
        return LEFT + wide * horizontal.place(value)

    def down(value: float) -> float:
        return TOP + high - high * vertical.place(value)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(WIDTH / 2, 24, title, more=' font-size="15"'),
    ]
    for tick in horizontal.ticks:
        x = across(tick)
        out += [grid(x, TOP, x, TOP + high), text(x, TOP + high + 18, horizontal.name(tick))]
    for tick in vertical.ticks:
        y = down(tick)
        out += [grid(LEFT, y, LEFT + wide, y), text(LEFT - 8, y + 4, vertical.name(tick), "end")]
    turned = f' transform="translate(20 {TOP + high / 2}) rotate(-90)"'
    out += [text(LEFT + wide / 2, HEIGHT - 22, x_label), text(0, 0, y_label, more=turned)]
    for index, (name, line) in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in sorted(line))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [
            f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in line
        ]
        out.append(text(LEFT + 12, TOP + 18 + 16 * index, name, "start", f' fill="{colour}"'))
    return "\n".join([*out, "</svg>", ""])


def misses_chart(found: dict) -> str:
    """Misses per round against the size of the hot set."""
    names = {
        "page": "A: a page per program (emulated)",
        "stock": "B: stock",
        "near": "C: bpf_pack, 2 MiB block",
    }
    rows = [
        row
        for row in found["main"]["rows"]
        if (row["mix"], row["live"], row["temperature"]) == ("realistic", 1000, "warm")
        and (row["place"] == "dense" or row["hot"] == row["live"])
    ]
    lines = []
    for layout, name in names.items():
        if any(layout not in row["layouts"] for row in rows):
            continue
        line = [
            (row["layouts"]["stock"]["hot_pages"], misses.count(row, layout) / row["rounds"])
            for row in rows
        ]
        lines.append((name, line))
    return chart(
        "BPF iTLB misses per round, Neoverse N1 geometry, LRU (model)",
        "4 KiB pages of the hot programs in stock's packs (programs side by side)",
        "first-level misses per round",
        lines,
    )


def calls_chart(found: dict, call: str, size: int) -> str:
    """Instructions of one call of the allocator against the number of live images."""
    lives = sorted({row["live"] for row in found["lives"]})
    lines = []
    for state in ["fresh", "churn"]:
        for way, name in [("stock", "stock"), ("hooks", "bpf_pack, through its hooks")]:
            line = [
                (lives.index(row["live"]), row["ways"][way][call]["insns"][0])
                for row in found["lives"]
                if (row["state"], row["bytes"]) == (state, size) and call in row["calls"]
            ]
            lines += [(f"{name}, {state}", line)] if line else []
    return chart(
        f"Guest instructions of one {call} of {size} B, called directly",
        "live images",
        "instructions, the least of several calls",
        lines,
        [f"{live:,}" for live in lives],
    )


def plots(subjects: dict) -> dict[str, str]:
    """All plots, by file name."""
    return {
        "misses.svg": misses_chart(subjects["misses"]),
        "alloc.svg": calls_chart(subjects["direct"], "alloc", 256),
        "free.svg": calls_chart(subjects["direct"], "free", 256),
    }


def section() -> str:
    """The section of the report."""
    return titled(
        "## Plots",
        "![misses per round against hot pages](misses.svg)",
        "![instructions of an allocation against live images](alloc.svg)",
        "![instructions of a free against live images](free.svg)",
    )
