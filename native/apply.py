# SPDX-License-Identifier: GPL-2.0
"""Applies the steps of native/series to a kernel's source and writes them as patches.

A step is a directory:
  message    what the patch says, in the form that maintainers take
  new/       new files, whole
  *.cocci    semantic patches, each for the file that its line "// file:" names
  lines      single lines that Coccinelle cannot read (Makefiles, Kconfig, Rust)
  copy       new directories of the kernel and what of this repository they hold

Every rule of a semantic patch and every line of `lines` must change the source: otherwise
the kernel has become another, and the name of the step that no longer fits is the last line
that this prints.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RULE = re.compile(r"^@ (\w+) @$", re.MULTILINE)
BRACE = re.compile(r"^((?:static )?void \w+\([^()]*\)) \{$", re.MULTILINE)


class DoesNotFitError(Exception):
    """A step that cannot be applied to this source."""


class Tree:
    """The files of a kernel's source that steps add or change, in a directory of their own."""

    def __init__(self, source: Path, root: Path):
        self.source = source
        self.root = root
        self.before: dict[str, str | None] = {}

    def path(self, name: str) -> Path:
        """Returns the path of a file that is about to be changed."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() and (self.source / name).exists():
            shutil.copyfile(self.source / name, path)
        if name not in self.before:
            self.before[name] = path.read_text() if path.exists() else None
        return path

    def patch(self, scratch: Path) -> str:
        """Returns the changes since the last call as a unified diff."""
        parts = []
        for name, old in sorted(self.before.items()):
            left = scratch / "old"
            left.write_text(old or "")
            diff = subprocess.run(
                [
                    "diff",
                    "-u",
                    f"--label={'a/' + name if old is not None else '/dev/null'}",
                    f"--label=b/{name}",
                    left,
                    self.root / name,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            parts.append(diff.stdout)
        self.before = {}
        return "".join(parts)


def rules(text: str) -> Iterator[tuple[str, str]]:
    """Yields the name and the text of each rule of a semantic patch."""
    starts = list(RULE.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    for start, end in zip(starts, ends, strict=True):
        yield start.group(1), text[start.start() : end]


def apply_semantic_patch(tree: Tree, patch: Path, scratch: Path) -> None:
    """Applies each rule by itself: Coccinelle is silent about rules that match nothing."""
    text = patch.read_text()
    target = tree.path(re.search(r"^// file: (\S+)$", text, re.MULTILINE).group(1))
    for name, rule in rules(text):
        script = scratch / "rule.cocci"
        script.write_text(rule)
        old = target.read_text()
        run = subprocess.run(
            ["spatch", "--very-quiet", "--sp-file", script, "--in-place", target],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            raise DoesNotFitError(f"{patch.name}, rule {name}: {run.stderr.strip()}")
        if target.read_text() == old:
            raise DoesNotFitError(f"{patch.name}, rule {name}: it matches nothing")
        # Coccinelle sometimes leaves the brace of a function that it adds on the same line.
        target.write_text(BRACE.sub(r"\1\n{", target.read_text()))


def apply_line(tree: Tree, entry: str) -> None:
    """Adds or replaces one line."""
    name, where, anchor, new = (part.strip() for part in entry.split(" | "))
    new = new.replace("\\t", "\t").replace("\\n", "\n")
    path = tree.path(name)
    if not path.exists():
        raise DoesNotFitError(f"lines: there is no {name}")
    lines = path.read_text().split("\n")
    places = [number for number, line in enumerate(lines) if line.split() == anchor.split()]
    if len(places) != 1:
        raise DoesNotFitError(f"lines: {len(places)} lines of {name} are: {anchor}")
    at = places[0]
    if where == "before":
        lines.insert(at, new)
    elif where == "after":
        lines.insert(at + 1, new)
    elif where == "instead of":
        lines[at] = new
    else:
        raise DoesNotFitError(f"lines: neither after nor before nor instead of: {where}")
    path.write_text("\n".join(lines))


def copy_file(tree: Tree, source: Path, name: str) -> None:
    """Adds a new file. A file of that name is an error: somebody else has had the idea."""
    path = tree.path(name)
    if path.exists():
        raise DoesNotFitError(f"{name} is there already")
    shutil.copyfile(source, path)


def is_source(file: Path) -> bool:
    """Returns whether a kernel's tree would have this file: it has no tests of the host."""
    names = file.relative_to(HERE.parent).parts
    wanted = file.suffix in (".rs", ".c", ".h", ".S", ".mk") or file.name in ("Kbuild", "Kconfig")
    return file.is_file() and wanted and not {"tests", "benches", "corpus"} & set(names)


def entries(path: Path) -> Iterator[str]:
    """Yields the lines of a file, if there is one, without comments."""
    if path.exists():
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                yield line


def apply_step(tree: Tree, step: Path, repository: Path, scratch: Path) -> None:
    """Applies all of a step."""
    for new in sorted((step / "new").rglob("*")):
        if new.is_file():
            copy_file(tree, new, str(new.relative_to(step / "new")))
    for entry in entries(step / "copy"):
        source, name = (part.strip() for part in entry.split(" | "))
        source = repository / source
        files = [source] if source.is_file() else sorted(source.rglob("*"))
        for file in (file for file in files if is_source(file)):
            inside = file.name if file == source else str(file.relative_to(source))
            copy_file(tree, file, f"{name}/{inside}")
    for entry in entries(step / "lines"):
        apply_line(tree, entry)
    for patch in sorted(step.glob("*.cocci")):
        apply_semantic_patch(tree, patch, scratch)


def message(step: Path) -> tuple[str, str]:
    """Returns the subject and the text of a step."""
    subject, _, text = (step / "message").read_text().partition("\n\n")
    return subject.strip(), text


def main() -> int:
    """Applies all steps; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="the kernel's source")
    parser.add_argument("files", type=Path, help="directory for the files that are new or changed")
    parser.add_argument("patches", type=Path, help="directory for the patches")
    arguments = parser.parse_args()
    if not shutil.which("spatch"):
        parser.error("Coccinelle (spatch) is not in PATH; scripts/toolchain run has it")
    for directory in (arguments.files, arguments.patches):
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            parser.error(f"{directory} is not empty")
    tree = Tree(arguments.source, arguments.files)
    steps = sorted(step for step in (HERE / "series").iterdir() if step.is_dir())
    for number, step in enumerate(steps, 1):
        subject, text = message(step)
        print(f"{step.name}: {subject}", flush=True)
        try:
            apply_step(tree, step, HERE.parent, arguments.patches)
        except DoesNotFitError as reason:
            print(f"{reason}\nthis step does not fit this kernel: {step.name}")
            return 1
        diff = tree.patch(arguments.patches)
        name = re.sub(r"\W+", "-", subject).strip("-")
        patch = arguments.patches / f"{number:04}-{name}.patch"
        head = f"Subject: [PATCH {number}/{len(steps)}] {subject}"
        patch.write_text(f"{head}\n\n{text.strip()}\n---\n{diff}")
    for scratch in ("old", "rule.cocci"):
        (arguments.patches / scratch).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
