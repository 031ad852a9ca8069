#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boots the guests of a plan and keeps what they leave.

Usage: boot.py RUNS PLUGIN IMAGE OVERLAYS JOBS

RUNS/plan is the plan, as plan.py prints it. Of each guest, RUNS gets NAME.json (the TLB
model's lines), NAME.guest (what the guest printed), NAME.console and NAME.log, and NAME.done
at its end: a guest that has it already is not booted. IMAGE is the build directory for
scripts/vm, OVERLAYS has a folder for each kernel flavour, and those that only some guests have.
JOBS guests run at a time. When one fails, the others go on; the exit status is 1.

RUNS/environment gets a line for each machine, and one for each run that was discarded.

Environment: BPF_PACK_HEAVY_LOCK, as scripts/bench describes it.
"""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import plan

# The longest that one guest may take, in seconds.
TIMEOUT = 1800
VM = pathlib.Path(__file__).parents[2] / "scripts" / "vm"


class GuestError(Exception):
    """A guest failed."""


def say(text: str) -> None:
    """One line of progress, as say() of scripts/lib.sh prints it."""
    since = time.time() - float(os.environ.get("BPF_PACK_STARTED", time.time()))
    print(f"[{since:4.0f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Boot:
    """Where things are."""

    runs: pathlib.Path
    plugin: pathlib.Path
    image: pathlib.Path
    overlays: pathlib.Path

    def file(self, guest: plan.Guest, kind: str) -> pathlib.Path:
        """A guest's file."""
        return self.runs / f"{guest.name}.{kind}"

    def command(self, guest: plan.Guest) -> list[str]:
        """The command that boots a guest."""
        lock = os.environ.get("BPF_PACK_HEAVY_LOCK")
        words = ["flock", lock, VM] if lock else [VM]
        words += ["--kernel", guest.flavour, "--timeout", TIMEOUT, *guest.machine]
        words += ["--append", f"bench.layout={guest.layout} bench.suite={guest.suite}"]
        for overlay in [guest.flavour, guest.extra]:
            words += ["--overlay", self.overlays / overlay] if overlay else []
        words += ["--log", self.file(guest, "console")]
        if guest.models:
            options = [f"out={self.file(guest, 'new')}", "begin=marker", "stale=on", "walkcheck=on"]
            options += [f"model={model}" for model in guest.models]
            words += ["--qemu-arg", "-plugin"]
            words += ["--qemu-arg", ",".join([str(self.plugin), *options])]
        return [str(word) for word in [*words, "--", "sh /overlay/run.sh"]]

    def start(self, guest: plan.Guest) -> subprocess.Popen:
        """Starts a guest, in a process group of its own."""
        # Old results must not stand in for a run that fails.
        for old in self.runs.glob(f"{guest.name}.*"):
            old.unlink()
        with self.file(guest, "guest").open("w") as out, self.file(guest, "log").open("w") as log:
            return subprocess.Popen(
                self.command(guest),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"BPF_PACK_BUILD": str(self.image)},
            )

    def finish(self, guest: plan.Guest, status: int) -> None:
        """Looks at a guest that has ended."""
        if status:
            log = self.file(guest, "log")
            end = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-15:])
            raise GuestError(
                f"FAILED: guest {guest.name} (exit status {status})\n"
                f"  log:  {log}; its end:\n{end}\n"
                f"  try:  read {self.file(guest, 'guest')} and {self.file(guest, 'console')}"
            )
        if guest.models:
            self.file(guest, "new").rename(self.file(guest, "json"))
        self.file(guest, "done").touch()

    def show_machine(self, guest: plan.Guest) -> str:
        """The machine's arguments for QEMU."""
        command = [VM, *guest.machine, "--show-machine"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def note(self, lines: list[str]) -> None:
        """Adds lines to the environment."""
        with (self.runs / "environment").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def note_machines(self, lines: list[str]) -> None:
        """Adds the lines of the machines to the environment, unless an earlier run has."""
        environment = self.runs / "environment"
        known = environment.read_text().splitlines() if environment.exists() else []
        known = [line for line in known if line.startswith("machine of ")]
        if known and known != lines:
            raise GuestError("the guests that have run had other machines")
        self.note([] if known else lines)


def run_all(boot: Boot, planned: list[plan.Guest], jobs: int) -> None:
    """Runs all guests, some at a time. Those that fail do not keep the others from it."""
    waiting = collections.deque(enumerate(planned, 1))
    running: dict[subprocess.Popen, tuple[plan.Guest, float]] = {}
    failed = []
    try:
        while waiting or running:
            while waiting and len(running) < waiting[0][1].at_a_time(jobs):
                number, guest = waiting.popleft()
                say(f"guest {number} of {len(planned)}: {guest.name}")
                running[boot.start(guest)] = (guest, time.monotonic())
            time.sleep(0.2)
            for process in [process for process in running if process.poll() is not None]:
                guest, started = running.pop(process)
                try:
                    boot.finish(guest, process.returncode)
                    say(f"  {guest.name}: {time.monotonic() - started:.0f} s")
                except GuestError as why:
                    failed.append(guest.name)
                    say(f"  {guest.name}: failed after {time.monotonic() - started:.0f} s\n{why}")
    finally:
        stop(list(running))
    if failed:
        raise GuestError(f"{len(failed)} of {len(planned)} guests failed: {', '.join(failed)}")


def stop(processes: list[subprocess.Popen]) -> None:
    """Ends the guests under way."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        process.wait()


def same(boot: Boot, a: pathlib.Path, b: plan.Guest) -> bool:
    """Whether two runs left the same bytes."""
    return a.read_bytes() == boot.file(b, "json").read_bytes()


def confirm(boot: Boot, planned: list[plan.Guest]) -> None:
    """Where two runs of a guest differ, a third decides which of them counts.

    They differed once, by 16 instructions, on a busy host: QEMU's clock of instructions does
    not always keep its promise. The run that no other repeats is discarded.
    """
    by_name = {guest.name: guest for guest in planned}
    for again in planned:
        if not again.repeats:
            continue
        first = by_name[again.repeats]
        odd = boot.runs / f"odd.{again.name}"
        # Three runs are enough, also of a plan that is resumed.
        if odd.exists() or same(boot, boot.file(first, "json"), again):
            continue
        boot.note([f"discarded: one run of {first.name} that two others did not repeat"])
        boot.file(again, "json").rename(odd)
        run_all(boot, [again], 1)
        if same(boot, odd, again):
            run_all(boot, [first], 1)


def machines(boot: Boot, planned: list[plan.Guest]) -> list[str]:
    """A line for each machine: its arguments for QEMU, and the guests that have it."""
    names: dict[str, list[str]] = {}
    for guest in planned:
        names.setdefault(boot.show_machine(guest), []).append(guest.name)
    return [f"machine of {', '.join(guests)}: {machine}" for machine, guests in names.items()]


def end_by_signal(number: int, _frame: object) -> None:
    """Ends this process; what is under way is stopped on the way out."""
    # A second signal, which make passes on, must not disturb that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    """Boots everything; returns the exit status."""
    if len(arguments) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    boot = Boot(*map(pathlib.Path, arguments[:4]))
    planned = plan.read(boot.runs / "plan")
    signal.signal(signal.SIGINT, end_by_signal)
    signal.signal(signal.SIGTERM, end_by_signal)
    try:
        boot.note_machines(machines(boot, planned))
        left = [guest for guest in planned if not boot.file(guest, "done").exists()]
        if len(left) < len(planned):
            say(f"{len(planned) - len(left)} of {len(planned)} guests have run")
        run_all(boot, left, int(arguments[4]))
        confirm(boot, planned)
    except (GuestError, OSError, subprocess.SubprocessError) as why:
        print(f"\n{why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
