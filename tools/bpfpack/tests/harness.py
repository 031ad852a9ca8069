# SPDX-License-Identifier: GPL-2.0
"""What the tests of bpfpack are made with: recorded machines, schemas, terminals."""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import jsonschema
import referencing

HERE = Path(__file__).resolve().parent
FIXTURES = HERE / "fixtures"
SCHEMAS = HERE.parent / "schema"
BPFPACK = os.environ["BPFPACK"]
RECORDED = ("loaded", "degraded", "absent")
NOBODY = 65534


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess:
    """Runs a program; its output is text."""
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def bpfpack(
    recorded: str, *arguments: str | Path, **options: object
) -> subprocess.CompletedProcess:
    """Runs bpfpack on a recorded machine."""
    return run(BPFPACK, "--root", FIXTURES / recorded, *arguments, **options)


def expect(condition: object, *what: object) -> None:
    """Fails the test, and shows what was seen."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what))


def as_nobody() -> dict[str, object]:
    """Options of run() that give up root, if we have it."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def closed(schema: object) -> object:
    """A schema that allows no property that it does not name, which those for users do."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    if "properties" in parts:
        parts.setdefault("additionalProperties", False)
    return parts


def validate(name: str, text: str, *, strict: bool = True) -> None:
    """Raises an error if the JSON does not follow its schema, or has more than that if strict."""
    schemas = {}
    for file in SCHEMAS.glob("*.json"):
        schema = json.loads(file.read_text())
        schemas[file.stem] = closed(schema) if strict else schema
    jsonschema.Draft202012Validator.check_schema(schemas[name])
    # They name one another by their files.
    contents = referencing.Resource.from_contents
    resources = [(f"{stem}.json", contents(schema)) for stem, schema in schemas.items()]
    registry = referencing.Registry().with_resources(resources)
    validator = jsonschema.Draft202012Validator(schemas[name], registry=registry)
    validator.validate(json.loads(text))


SIGNED = b"~Module signature appended~\n"
MODULE = b"\x7fELF..\0vermagic=7.3.4+deb13-arm64 SMP preempt mod_unload aarch64\0"


class Machine:
    """A copy of the recorded machine `absent`, to change."""

    def __init__(self) -> None:
        """Copies the machine."""
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "root"
        shutil.copytree(FIXTURES / "absent", self.root)
        Path(self.folder.name).chmod(0o755)
        self.module = self.root / "lib/modules/7.3.4+deb13-arm64/updates/bpf_pack.ko"

    def __enter__(self) -> "Machine":
        """Gives the machine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the copy."""
        self.folder.cleanup()

    def write(self, file: str, text: str) -> None:
        """Changes a file."""
        (self.root / file).write_text(text)

    def lock_down(self, mode: str) -> None:
        """Locks the kernel down."""
        modes = "none integrity confidentiality\n".replace(mode, f"[{mode}]")
        self.write("sys/kernel/security/lockdown", modes)

    def doctor(self, **options: object) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        """The status of doctor, and its findings: levels and texts by check."""
        result = run(BPFPACK, "--root", self.root, "doctor", "--json", **options)
        expect(not result.stderr, result)
        validate("doctor", result.stdout)
        findings: dict[str, list[tuple[str, str]]] = {}
        for found in json.loads(result.stdout)["findings"]:
            findings.setdefault(found["check"], []).append((found["level"], found["text"]))
        return result.returncode, findings


class Terminal:
    """A real terminal, by tmux, with a command in it."""

    numbers = itertools.count()

    def __init__(self, command: str, columns: int = 100) -> None:
        """Takes a command for sh."""
        self.command = command
        self.columns = columns
        # A server of its own: the last one may not have gone yet.
        self.name = f"bpfpack-{os.getpid()}-{next(self.numbers)}"

    def tmux(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs a command of tmux."""
        return run("tmux", "-L", self.name, "-f", "/dev/null", *arguments)

    def __enter__(self) -> "Terminal":
        """Starts the command."""
        # The terminal stays when the command has ended, so that its last screen can be read.
        script = f"{self.command}; echo status $?; exec sleep 60"
        size = ("-x", str(self.columns), "-y", "30")
        result = self.tmux("new-session", "-d", *size, f"env TERM=screen sh -c '{script}'")
        expect(result.returncode == 0, result)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the terminal, and what runs in it."""
        self.tmux("kill-server")

    def screen(self, *, colors: bool = False) -> str:
        """What the screen shows."""
        return self.tmux("capture-pane", "-p", *(["-e"] if colors else [])).stdout

    def lines(self) -> list[str]:
        """All lines that were written, also above the screen; a line that did not fit is one."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").stdout.splitlines()

    def keys(self, *keys: str) -> None:
        """Presses keys."""
        self.tmux("send-keys", *keys)

    def wait_for(self, text: str, *, colors: bool = False) -> str:
        """Waits until the screen shows a text, and returns the screen."""
        for _ in range(300):
            if text in self.screen():
                return self.screen(colors=colors)
            time.sleep(0.1)
        raise AssertionError(f"no {text!r} on the screen:\n{self.screen()}")


def replace(file: Path, text: str) -> None:
    """Replaces a file at once: the program may read it at any time."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)
