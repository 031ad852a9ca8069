# SPDX-License-Identifier: GPL-2.0
"""What the parts of the report write numbers and tables with."""

SHORT = {"stock": "stock (B)", "near": "near (C)", "far": "far (C)", "c64": "64 KiB runs (C64)", "base": "4 KiB packs", "page": "page each (A)"}
ORDER = ["page", "stock", "base", "c64", "far", "near"]


def number(value):
    """With commas, as a person reads it."""
    return f"{value:,}"


def both(values):
    """A smallest and a largest, or one number where they are the same."""
    low, high = values
    return number(low) if low == high else f"{number(low)}..{number(high)}"


def table(head, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"
