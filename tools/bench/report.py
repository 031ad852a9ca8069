#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes the benchmark's report of what its guests left.

Usage: report.py RUNS OUT

Writes OUT/report.json, OUT/report.md and OUT/*.svg, or says what is wrong with the
runs and writes nothing: a missing row, a stale hit or a wrong walk of the model,
and two runs of one guest that differ are errors, not figures.
"""

import json
import pathlib
import sys

import figures
import markdown
import plot


def main():
    """Checks and writes everything; returns the exit status."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    out = pathlib.Path(sys.argv[2])
    try:
        data = figures.collect(pathlib.Path(sys.argv[1]))
        text = markdown.report(data)
    except (figures.Bad, OSError, LookupError, ValueError) as why:
        print(f"report.py: no report: {type(why).__name__}: {why}", file=sys.stderr)
        return 1
    (out / "report.json").write_text(json.dumps(data, indent=1))
    (out / "report.md").write_text(text)
    for name, svg in plot.plots(data):
        (out / name).write_text(svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
