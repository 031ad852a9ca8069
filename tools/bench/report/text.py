# SPDX-License-Identifier: GPL-2.0
"""What all parts of the report write numbers and tables with."""

from collections.abc import Iterable, Sequence

# How tables call the layouts, and in which order.
SHORT = {
    "page": "page each (A)",
    "stock": "stock (B)",
    "base": "4 KiB packs",
    "c64": "64 KiB runs (C64)",
    "far": "far (C)",
    "near": "near (C)",
}


def in_order(layouts: Iterable[str]) -> list[str]:
    """Layouts as tables show them."""
    return [layout for layout in SHORT if layout in set(layouts)]


def number(value: float) -> str:
    """With commas, as a person reads it."""
    return f"{value:,}"


def tenths(value: float) -> str:
    """With one digit after the point, and no minus before a zero."""
    return f"{round(value, 1) + 0.0:,.1f}"


def both(values: Sequence[float]) -> str:
    """A smallest and a largest, or one number where they are the same."""
    low, high = values
    return number(low) if low == high else f"{number(low)}..{number(high)}"


def mib(count: int) -> str:
    """Bytes as MiB."""
    return f"{count / 2**20:g} MiB"


def change(before: float, after: float) -> str:
    """A change in percent of what it was."""
    return f"{100 * (after - before) / before:+.2f} %" if before else "from 0"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def section(title: str, *parts: str) -> str:
    """A section: its title, with its #, and paragraphs or tables."""
    return "\n\n".join([title, *(part.rstrip("\n") for part in parts)]) + "\n"
