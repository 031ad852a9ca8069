# SPDX-License-Identifier: GPL-2.0
"""Plots as SVG: lines with markers, labelled axes, a legend."""

import math

import figures as bench

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 80, 40, 50, 70
# A largest value that is more than so many times the smallest.
FAR_APART = 100
COLOURS = ["#b2182b", "#2166ac", "#1b7837", "#762a83", "#b35806"]


def powers(low, top):
    """Powers of ten from `low`, or less, up to at least `top`."""
    return [10 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(top)) + 1)]


def ticks(top):
    """Round numbers from 0 up to at least `top`."""
    step = 10 ** math.floor(math.log10(max(top, 1)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if top / (step * f) <= 8)
    return [i * step for i in range(math.ceil(top / step) + 1)]


def chart(title, x_label, y_label, series, x_names=None):
    """One chart. `series`: [(name, [(x, y), ...]), ...]; `x_names` for an axis with names at 0, 1, 2 ...
    What is too far apart for one linear axis gets a logarithmic one."""
    points = [point for _, line in series for point in line]
    x_ticks, y_ticks = (ticks(max(point[axis] for point in points)) for axis in (0, 1))
    if x_names:
        x_ticks = list(range(len(x_names)))
    low, top = (limit(y for _, y in points) for limit in (min, max))
    y_powers = low > 0 and top / low > FAR_APART
    if y_powers:
        y_ticks = powers(low, top)
    height = lambda value: math.log10(value / y_ticks[0]) if y_powers else value
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    across = lambda value: LEFT + wide * value / max(x_ticks[-1], 1)
    down = lambda value: TOP + high - high * height(value) / (height(y_ticks[-1]) or 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="15">{title}</text>']
    for tick in x_ticks:
        out.append(f'<line x1="{across(tick):.1f}" y1="{TOP}" x2="{across(tick):.1f}" y2="{TOP + high}" stroke="#ddd"/>'
                   f'<text x="{across(tick):.1f}" y="{TOP + high + 18}" text-anchor="middle">{x_names[tick] if x_names else f"{tick:,g}"}</text>')
    for tick in y_ticks:
        out.append(f'<line x1="{LEFT}" y1="{down(tick):.1f}" x2="{LEFT + wide}" y2="{down(tick):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
    out.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 22}" text-anchor="middle">{x_label}</text>'
               f'<text transform="translate(20 {TOP + high / 2}) rotate(-90)" text-anchor="middle">{y_label}</text>')
    for index, (name, line) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in sorted(line))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        out.append(f'<text x="{LEFT + 12}" y="{TOP + 18 + 16 * index}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])


def misses(data):
    """Misses per round against the size of the hot set."""
    names = [("page", "A: a page per program (emulated)"), ("stock", "B: stock"), ("near", "C: bpf_pack, 2 MiB block")]
    rows = [row for row in data["hot"] if row["mix"] == "realistic" and row["live"] == 1000 and
            row["temperature"] == "warm" and (row["place"] == "dense" or row["hot"] == row["live"])]
    return chart("BPF iTLB misses per round, Neoverse N1 geometry, LRU (model)",
                 "4 KiB pages of the hot programs in stock's packs (programs side by side)", "first-level misses per round",
                 [(name, [(row["layouts"]["stock"]["hot_pages"], bench.misses(row, layout) / row["rounds"]) for row in rows])
                  for layout, name in names])


def calls(data, call, size):
    """Instructions of one call of the allocator against the number of live images."""
    lives = sorted({row["live"] for row in data["direct"]["lives"]})
    series = []
    for state in ["fresh", "churn"]:
        for way, name in [("stock", "stock"), ("hooks", "bpf_pack, through its hooks")]:
            line = [(lives.index(row["live"]), row["ways"][way][call]["insns"][0]) for row in data["direct"]["lives"]
                    if row["state"] == state and row["bytes"] == size and call in row["ways"][way]]
            if line:
                series.append((f"{name}, {state}", line))
    return chart(f"Guest instructions of one {call} of {size} B, called directly", "live images", "instructions, the least of several calls", series,
                 [f"{live:,}" for live in lives])


def plots(data):
    """All plots: (file name, text)."""
    return [("misses.svg", misses(data)), ("alloc.svg", calls(data, "alloc", 256)), ("free.svg", calls(data, "free", 256))]
