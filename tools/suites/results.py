# SPDX-License-Identifier: GPL-2.0
"""What the guests printed, as results: (suite, test, subtest) and one word."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Key = tuple[str, str, str]
Results = dict[Key, str]

# The subtest of a result that is about a whole test.
WHOLE = "-"
# The test of a result that the kernel's console gave, and of one about what was left.
CONSOLE, LEFT = "console", "left"

PASSED = {"OK"}
SKIPPED = {"SKIP", "UNSUPPORTED", "UNTESTED", "XFAIL"}
# All other words are failures: FAIL, CRASH, HANG, UNRESOLVED, SEEN, LEFT.


@dataclass
class Part:
    """What a guest printed for one list of tests."""

    tests: list[str]
    lines: list[str] = field(default_factory=list)
    status: int | None = None
    seconds: int = 0


@dataclass
class Guest:
    """What one guest printed."""

    parts: list[Part] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    module: dict[str, str] = field(default_factory=dict)
    done: bool = False


def read_guest(text: str) -> Guest:
    """Takes the output of tools/suites/guest/run.sh apart."""
    guest, part = Guest(), None
    for line in text.replace("\r", "").split("\n"):
        said = re.match(r"=== suites (\w+) ?(.*)$", line)
        if not said:
            if part:
                part.lines.append(line)
            continue
        word, rest = said.groups()
        if word == "run":
            part = Part(rest.split(","))
            guest.parts.append(part)
        elif word == "end" and part:
            part.status, part.seconds = int(rest.split()[0]), int(rest.split()[1])
            part = None
        elif word == "left":
            guest.left.append(rest)
        elif word == "status":
            name, value = rest.split(": ")
            guest.status[name] = int(value)
        elif word == "module":
            name, value = rest.split(" ", 1)
            guest.module[name] = value
        elif word == "done":
            guest.done = True
    return guest


def progs(part: Part) -> Iterator[tuple[str, str, str]]:
    """test_progs: "#1/2 test/subtest:OK"."""
    for line in part.lines:
        said = re.match(r"#\d+(?:/\d+)?\s+(\S.*?):(OK|FAIL|SKIP)\b", line)
        if said:
            test, _, subtest = said[1].partition("/")
            yield test, subtest or WHOLE, said[2]


def verifier(part: Part) -> Iterator[tuple[str, str, str]]:
    """test_verifier: "#1/p what it does OK"; u is without privilege, p with it."""
    for line in part.lines:
        said = re.match(r"#(\d+/[up]) (.*)$", line)
        if said:
            word = re.search(
                r"\b(OK|SKIP|FAIL)(?: \((?:NOTE|requires|unsupp|program).*)?$", said[2]
            )
            name = said[2][: word.start()] if word else said[2].split(" FAIL")[0]
            name = re.sub(r"(\(run \d+/\d+\) )*(\d+ cases )?(Did not run.*)?$", "", name)
            yield f"{said[1]} {name.strip()}", WHOLE, word[1] if word else "FAIL"


def kselftest(part: Part) -> Iterator[tuple[str, str, str]]:
    """The harness of the kernel's self-tests: "ok 1 name # SKIP why"."""
    for line in part.lines:
        said = re.match(r"(not ok|ok) \d+ (\S+)(.*)", line)
        if said:
            word = "SKIP" if "# SKIP" in said[3] else "OK" if said[1] == "ok" else "FAIL"
            yield said[2], WHOLE, word


def ftrace(part: Part) -> Iterator[tuple[str, str, str]]:
    """ftracetest: "[1] what it does [PASS]", once more for each test in an instance."""
    files: dict[str, str] = {}
    current: tuple[str, str] | None = None
    for line in part.lines:
        said = re.match(r"\[(\d+)\]( \(instance\) )?\s*([^\t]*)", line)
        if said:
            number, title = int(said[1]), said[3].strip()
            if not said[2] and number <= len(part.tests):
                files[title] = part.tests[number - 1]
            current = files.get(title, title), "instance" if said[2] else WHOLE
        word = re.search(r"\t\[([A-Z]+)\]", line)
        if word and current:
            yield *current, "OK" if word[1] == "PASS" else word[1]
            current = None


def samples(part: Part) -> Iterator[tuple[str, str, str]]:
    """Modules that are inserted and removed."""
    for line in part.lines:
        said = re.match(r"(\S+): (OK|FAIL)\b", line)
        if said:
            yield said[1], WHOLE, said[2]


def whole(part: Part) -> Iterator[tuple[str, str, str]]:
    """Programs whose exit status is their result, with the parts that they name."""
    for line in part.lines:
        said = re.match(r"(test_\w+):(PASS|SKIP|FAIL)", line)
        if said:
            yield said[1], WHOLE, {"PASS": "OK"}.get(said[2], said[2])
    if part.status is not None:
        yield "exit_status", WHOLE, "OK" if part.status == 0 else "FAIL"


READERS: dict[str, Callable[[Part], Iterator[tuple[str, str, str]]]] = {
    "progs": progs,
    "verifier": verifier,
    "seccomp": kselftest,
    "ftrace": ftrace,
    "samples": samples,
    "maps": whole,
    "tag": whole,
}
# The suites that can run a list of tests; the others are run whole.
LISTED = {"progs", "ftrace", "samples"}


def results_of(suite: str, part: Part) -> Results:
    """The results of one list. A name that comes twice gets a number."""
    results: Results = {}
    for test, subtest, word in READERS[suite](part):
        key, number = (suite, test, subtest), 1
        while key in results:
            number += 1
            key = (suite, test, f"{subtest}#{number}")
        results[key] = word
    if suite in LISTED:
        for test in part.tests:
            if not any(key[1] == test for key in results):
                # The first that is missing is the one that broke the run off.
                results[(suite, test, WHOLE)] = (
                    "HANG" if part.status in (124, 137, None) else "CRASH"
                )
                break
    elif part.status in (124, 137, None):
        results[(suite, "exit_status", WHOLE)] = "HANG"
    return results


def complaints(console: str, pattern: str) -> Iterator[tuple[str, str]]:
    """What the kernel said on its console when something was wrong, and in which list."""
    tests = ""
    for line in console.replace("\r", "").split("\n"):
        said = re.search(r"suites: run (.*)$", line)
        if said:
            tests = said[1]
        wrong = re.search(f"(?:{pattern}).*", line)
        if wrong:
            text = re.sub(r"0x[0-9a-f]+", "X", wrong[0])
            text = re.sub(r"CPU[#:]? *\d+(: \S+/\d+)?", "CPU", text)
            text = re.sub(r"PID: \d+|\bt=\d+.*|\d+s!.*|:\d+ (?=blocked)", "", text)
            yield text.strip().replace("\t", " "), tests


def load(path: Path) -> Results:
    """Results from a file of them."""
    if not path.exists():
        return {}
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def save(path: Path, results: Results) -> None:
    """One line for each result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join((*key, word)) + "\n" for key, word in results.items()))
