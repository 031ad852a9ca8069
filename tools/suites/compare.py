# SPDX-License-Identifier: GPL-2.0
"""Compares results on the two sides, and prints what came of it."""

import sys
from collections import Counter
from pathlib import Path

from results import CONSOLE, LEFT, PASSED, SKIPPED, WHOLE, Key

# What stands for a result that a side did not give.
ABSENT = "ABSENT"
# What of the module's status goes into the sums.
SHOWN = ("images_served", "images_freed", "to_stock", "insmod", "check", "rmmod")
COLUMNS = ["suite", "test", "subtest", "stock", "module", "verdict"]


# Why a key gives one result on the stock kernel and another with the module.
Reasons = dict[tuple[Key, str, str], str]


class Seen:
    """All results of both sides: of the first run, then of its repetitions."""

    def __init__(self) -> None:
        self.words: dict[str, dict[Key, list[str]]] = {"stock": {}, "module": {}}

    def first(self, side: str, key: Key, word: str) -> None:
        """A result of the first run."""
        self.words[side][key] = [word]

    def add(self, side: str, suite: str, keys: list[Key], again: dict[Key, str]) -> None:
        """The results of a repetition, for the keys that it was made for."""
        for key in keys:
            if key[0] == suite:
                before = self.words[side].setdefault(key, [ABSENT])
                before.append(again.get(key, ABSENT))

    def of(self, side: str, key: Key) -> list[str]:
        """What a side gave for a key."""
        return self.words[side].get(key, [ABSENT])

    def all_keys(self) -> list[Key]:
        """All keys, in the order of the suites."""
        return list({**self.words["stock"], **self.words["module"]})

    def differing(self) -> list[Key]:
        """The keys for which no result was seen on both sides."""
        return [
            key
            for key in self.all_keys()
            if not set(self.of("stock", key)) & set(self.of("module", key))
        ]


def known(path: Path) -> Reasons:
    """Differences that have a reason: suite, test, subtest, both results, the reason."""
    reasons: Reasons = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            suite, test, subtest, stock, module, why = line.split("\t")
            reasons[((suite, test, subtest), stock, module)] = why
    return reasons


def explained(seen: Seen, key: Key, reasons: Reasons) -> str | None:
    """The reason, if each run gave what it is for."""
    stock, module = ("/".join(sorted(set(seen.of(side, key)))) for side in ("stock", "module"))
    return reasons.get((key, stock, module))


def module_wrong(directory: Path, suites: list[str]) -> list[str]:
    """What the module's own checks found after the guests."""
    wrong = []
    for path in sorted(directory.glob("*.module")):
        for line in path.read_text().splitlines():
            suite, name, value = line.split("\t")
            if suite not in suites:
                continue
            if value.startswith("FAIL") or (name in ("bad_calls", "copy_errors") and value != "0"):
                wrong.append(f"{path.stem}: {name} {value}")
    return wrong


def totals(directory: Path) -> Counter[str]:
    """Sums of the module's counters over all guests."""
    total: Counter[str] = Counter()
    for path in directory.glob("*.module"):
        for line in path.read_text().splitlines():
            _, name, value = line.split("\t")
            if value.isdigit():
                total[name] += int(value)
            else:
                total[f"{name} {value.split()[0]}"] += 1
    return total


def kind(word: str) -> str:
    """Passed, failed or skipped."""
    return "passed" if word in PASSED else "skipped" if word in SKIPPED else "failed"


def report(out: Path, seen: Seen, reasons: Reasons, wrong: list[str]) -> int:
    """Writes the table of all tests, prints the sums; the number of failures."""
    differing = set(seen.differing())
    failures: list[str] = list(wrong)
    reasoned, unsteady = [], []
    with (out / "table.txt").open("w") as table:
        table.write("\t".join(COLUMNS) + "\n")
        for key in seen.all_keys():
            stock, module = seen.of("stock", key), seen.of("module", key)
            text = f"{' '.join(key)}: stock {'/'.join(stock)}, module {'/'.join(module)}"
            verdict = "same"
            if key in differing:
                why = explained(seen, key, reasons)
                verdict = "known" if why else "DIFFERS"
                if why:
                    reasoned.append(f"{text}\n    {why}")
                else:
                    failures.append(text)
            elif stock[0] != module[0]:
                verdict = "unsteady"
                unsteady.append(text)
            table.write("\t".join((*key, "/".join(stock), "/".join(module), verdict)) + "\n")
    say_list("Differed once, and not always (not the module's):", unsteady)
    say_list("Known differences:", reasoned)
    sums(out)
    say_list("FAILED, with the module only:", failures)
    print(f"{len(failures)} differences without a reason")
    return len(failures)


def say_list(title: str, lines: list[str]) -> None:
    """A list with a title, if there is anything in it."""
    if lines:
        print(title)
        for line in lines:
            print(f"  {line}")


def sums(out: Path) -> None:
    """The sums of build/suites/table.txt."""
    rows = [line.split("\t") for line in (out / "table.txt").read_text().splitlines()[1:]]
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for suite, test, subtest, stock, module, _ in rows:
        if test in (CONSOLE, LEFT):
            continue
        what = "tests" if subtest == WHOLE or subtest.startswith(f"{WHOLE}#") else "subtests"
        for side, word in (("stock", stock), ("module", module)):
            first = word.split("/")[0]
            if first != ABSENT:
                counts.setdefault((suite, what, side), Counter())[kind(first)] += 1
    print(f"{'suite':<10} {'':<9} {'':<7} {'run':>6} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for (suite, what, side), count in counts.items():
        print(
            f"{suite:<10} {what:<9} {side:<7} {count.total():>6} {count['passed']:>7}"
            f" {count['failed']:>7} {count['skipped']:>8}"
        )
    verdicts = Counter(row[5] for row in rows)
    print("results: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    total = totals(out / "module")
    shown = [name for name in total if name.startswith(SHOWN)]
    print("module: " + ", ".join(f"{name} {total[name]}" for name in shown))


if __name__ == "__main__":
    sums(Path(sys.argv[1]))
