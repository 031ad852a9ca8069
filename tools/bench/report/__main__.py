# SPDX-License-Identifier: GPL-2.0
"""Makes the benchmark's report of what its guests left.

Usage: python3 -m report RUNS OUT
       python3 -m report --readme README RUNS

The first writes OUT/report.json, OUT/report.md and OUT/*.svg, or says what is wrong with the
runs and writes nothing: a missing row, a stale hit or a wrong walk of the model, and two runs
of one guest that differ are errors, not figures. The second rewrites the tables of figures in
README.
"""

import json
import pathlib
import sys

from . import plots, readme, subjects
from .runs import RunsError


def write_report(runs: pathlib.Path, out: pathlib.Path) -> None:
    """The report and its plots."""
    data = subjects.collect(runs)
    files = {"report.md": subjects.report(data), **plots.plots(data["subjects"])}
    files["report.json"] = json.dumps(data, indent=1)
    for name, text in files.items():
        (out / name).write_text(text)


def write_readme(path: pathlib.Path, runs: pathlib.Path) -> None:
    """README's tables."""
    text, left = readme.rewrite(path.read_text(), subjects.collect(runs))
    path.write_text(text)
    for name in left:
        print(f"report: block {name} is left alone: only a full run has its figures")


def main(arguments: list[str]) -> int:
    """Does what the arguments say; returns the exit status."""
    try:
        match arguments:
            case ["--readme", path, runs]:
                write_readme(pathlib.Path(path), pathlib.Path(runs))
            case [runs, out] if not runs.startswith("-"):
                write_report(pathlib.Path(runs), pathlib.Path(out))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (RunsError, OSError, LookupError, ValueError) as why:
        print(f"report: no report: {type(why).__name__}: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
