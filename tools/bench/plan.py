#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The plan of the benchmark: every guest that it boots, as fields.

Usage: plan.py [--quick] [--json | --flavours | --extras]

Prints a table for readers, one JSON object a line for boot.py and the report, the
kernel flavours that the guests need, or the overlays that only some of them have.
Both read the fields; a guest's name only names its files and its lines of progress.
"""

import dataclasses
import json
import math
import os
import pathlib
import sys
from dataclasses import dataclass

# What the kernel command line calls the layouts (bench.layout=), and what they are.
LAYOUTS = {
    "stock": "B: the stock kernel, 4 KiB pages",
    "near": "C near: the module, one 2 MiB block per pack, near the kernel's text",
    "far": "C far: the module, near_packs=0",
    "c64": "C64: the module with leaf=1: packs of 64 KiB contiguous runs, the fallback",
    "base": "the module with leaf=2: packs of 4 KiB pages",
    "page": "A: emulated historical scheme, a page per program (the module with align=4096 leaf=2)",
    "timed": "C near in its test build, which measures how long it holds its lock",
    "both": "the module, and after it the stock kernel, in one guest",
}

# What QEMU calls the CPU models, where that is longer.
CPUS = {
    "max": "max,pauth-impdef=on",
    # With the identity of a Neoverse N3, which the kernel knows to have BBM level 3.
    "max-bbml3": "max,pauth-impdef=on,midr=0x410fd8e0",
}

# What a guest is for. The report picks its guests by this.
PURPOSES = {
    "main": "misses, costs, memory",
    "huge": "direct calls beside 100,000 live images",
    "fleet": "10,000 live programs with short-lived ones among them",
    "many": "100,000 live programs",
    "large": "1,000 large live programs",
    "attach": "programs at the entry of 1,000 functions",
    "tools": "the tools of libbpf-tools, all at the same time",
    "newer_cpu": "the short suite on another CPU model, -cpu max",
    "linear": "leaves of the linear map, on a CPU with BBM level 3",
    "sensitivity": "coalescing and data accesses in the model",
    "pages_16k": "the kernel with 16 KiB pages",
    "compiler": "the original workload beside a compiler",
    "holds": "how long the allocator's lock is held, and where images are",
    "kaslr": "what calls cost at a random place of the kernel",
    "parallel": "interrupts between CPUs",
    "syncs": "synchronisations of all CPUs",
    "entropy": "places of programs, each time that the module is inserted",
    "hardware": "counters of a real machine, without the model",
}

# The suites of guest/run.sh (bench.suite=): seconds that a guest was seen to take, two at a time
# on two cores, and what it does.
SUITES = {
    "entropy1": (7, "places of programs, 25 times that the module is inserted"),
    "calls": (9, "calls of helpers, a program at a function's entry"),
    "compiler1": (20, "the original workload beside a compiler of one small file"),
    "linear1": (20, "the linear map before and after 1 and 10 packs"),
    "hardware": (25, "the original workload beside the compiler, counted by the machine"),
    "holds": (25, "many images made and freed"),
    "sense": (40, "few scenarios"),
    "k16": (40, "few scenarios for another page size"),
    "fleet": (65, "10,000 live programs with short-lived ones among them"),
    "smp": (75, "loads, frees and direct calls on several CPUs"),
    "large": (75, "1,000 large programs, some of which run"),
    "quick": (95, "scenarios, loads and frees, direct calls, up to 1,000 live images"),
    "entropy": (110, "places of programs, 100 times that the module is inserted"),
    "syncs": (145, "loads of many functions, from several CPUs at once, 10,000 frees"),
    "tools": (145, "the tools of libbpf-tools, all at the same time"),
    "linear": (155, "the linear map before and after up to 50 packs, fragmented memory, too"),
    "compiler": (160, "the original workload beside a compiler of three files"),
    "huge": (190, "direct calls beside 100,000 live images"),
    "full": (285, "the same as quick, more mixes, up to 10,000 live images"),
    "attach": (320, "programs at the entry of 1,000 functions"),
    "many": (685, "loads of 100,000 programs, some of which run"),
}

N1_LRU = ("n1/lru",)
FLEET = ("n1/lru", "v2/lru")
SENSITIVITY = ("n1/lru", "n1/lru/coalesce=l2", "n1/lru/coalesce=both", "n1/lru/data=on")


@dataclass(frozen=True)
class Guest:
    """One guest of the plan."""

    # The stem of its files.
    name: str
    # One of PURPOSES.
    purpose: str
    # One of LAYOUTS.
    layout: str
    # What it does: a suite of guest/run.sh.
    suite: str
    cpu: str = "neoverse-n1"
    cpus: int = 1
    # As QEMU takes it.
    memory: str = "1G"
    # The kernel.
    flavour: str = "arm64"
    # Whether the kernel is at a random place; the same place in every run.
    kaslr: bool = False
    # Of the machine's random numbers. With another one, the kernel is at another random place.
    seed: int = 1
    # The name of the guest that this one repeats: both must give the same bytes.
    repeats: str | None = None
    # The name of the guest that this one is a twin of: the same layout on a machine with less
    # memory, where pages lie elsewhere. What differs between them differs by chance.
    twin_of: str | None = None
    # Counts guests that are alike and need not give the same.
    turn: int = 1
    # Geometries of the TLB model; none: the guest runs without the plugin.
    models: tuple[str, ...] = N1_LRU

    @property
    def seconds(self) -> int:
        """How long the guest takes, about."""
        return SUITES[self.suite][0]

    @property
    def extra(self) -> str | None:
        """The overlay that it has beside that of its kernel, if any."""
        # It would make the image of every guest larger.
        return "tools" if self.purpose == "tools" else None

    def at_a_time(self, jobs: int) -> int:
        """How many guests may run while this one does, itself included."""
        if self.purpose == "hardware":
            # Counters of a real machine count what else it does, too.
            return 1
        # Guests with several CPUs wait most of the time.
        # Guests with several CPUs have a real clock, and wait most of the time.
        return jobs + 2 if self.cpus > 1 else jobs

    @property
    def machine(self) -> list[str]:
        """The machine, as arguments of scripts/vm."""
        if self.purpose == "hardware":
            return ["--cpus", str(self.cpus)]
        size = [] if self.memory == "1G" else ["--memory", self.memory]
        qemu = ["-cpu", CPUS.get(self.cpu, self.cpu)]
        if self.cpus > 1:
            choice = ["--cpus", str(self.cpus)]
            qemu += ["-M", machine_type(random=False), "-accel", "tcg,thread=multi"]
        else:
            choice = ["--repeatable"]
            qemu += ["-M", machine_type(random=True)] if self.kaslr else []
            qemu += ["-seed", str(self.seed)] if self.seed != 1 else []
        return choice + size + [word for argument in qemu for word in ("--qemu-arg", argument)]


def machine_type(random: bool) -> str:
    """QEMU's -M, with or without random numbers in the device tree."""
    return f"virt,gic-version=3,dtb-randomness={'on' if random else 'off'}"


def geometries(full: bool) -> tuple[str, ...]:
    """The geometries of most guests; the full plan shows others than the main one, and the
    spread of random replacement."""
    found = []
    for preset in ["n1", "v2", "small"] if full else ["n1"]:
        seeds = [1, 2, 3] if full and preset == "n1" else [1]
        found += [f"{preset}/lru", *(f"{preset}/random={seed}" for seed in seeds)]
    return tuple(found)


def main_guests(suite: str, models: tuple[str, ...]) -> list[Guest]:
    """Misses, costs and memory; two layouts at least, one guest twice, twins in the full plan."""

    def guest(layout: str, repeat: bool = False) -> Guest:
        name = f"{layout}-again" if repeat else layout
        repeats = layout if repeat else None
        return Guest(name, "main", layout, suite, models=models, repeats=repeats)

    # The longest first.
    first = [guest("stock"), guest("near")]
    if suite == "quick":
        return [*first, guest("near", repeat=True)]
    # No goal needs more of these, and it would be most of the plan's time.
    others = ["far", "base", "page", "c64"]
    rest = [dataclasses.replace(guest(layout), suite="quick") for layout in others]
    twins = [twin(one) for one in first]
    # The shortest guest that is served by packs near the kernel and makes direct calls.
    again = dataclasses.replace(twins[-1], name="near-twin-again", repeats="near-twin")
    return [*first, *rest, *twins, again]


def twin(guest: Guest) -> Guest:
    """A guest of the same layout in which pages lie elsewhere; its suite begins the longer one."""
    return dataclasses.replace(
        guest, name=f"{guest.name}-twin", suite="quick", memory="1000M", twin_of=guest.name
    )


def compiler_guests(full: bool, models: tuple[str, ...]) -> list[Guest]:
    """The original workload beside a compiler."""
    suite = "compiler" if full else "compiler1"
    return [
        Guest(f"{layout}-compiler", "compiler", layout, suite, models=models)
        for layout in ["page", "stock", "far", "near"]
    ]


def full_guests(models: tuple[str, ...]) -> list[Guest]:
    """What the full plan has beside larger suites."""
    guests = []
    for layout in ["stock", "near"]:
        guests += [
            Guest(f"{layout}-huge", "huge", layout, "huge"),
            Guest(f"{layout}-many", "many", layout, "many", memory="3G"),
            Guest(f"{layout}-large", "large", layout, "large", models=FLEET),
            Guest(f"{layout}-fleet", "fleet", layout, "fleet", models=FLEET),
            Guest(f"{layout}-attach", "attach", layout, "attach", kaslr=True),
            Guest(f"{layout}-tools", "tools", layout, "tools", kaslr=True, models=FLEET),
            Guest(f"{layout}-max", "newer_cpu", layout, "quick", cpu="max", models=models),
            Guest(f"{layout}-sense", "sensitivity", layout, "sense", models=SENSITIVITY),
            Guest(f"{layout}-16k", "pages_16k", layout, "k16", flavour="arm64-16k", models=models),
        ]
    guests += [twin(guest) for guest in guests if guest.purpose == "newer_cpu"]
    return guests


def parallel_guests(full: bool) -> list[Guest]:
    """Interrupts between CPUs need several CPUs, and then nothing repeats."""
    return [
        Guest(
            f"{layout}-smp{cpus}-{turn}", "parallel", layout, "smp",
            cpus=cpus, turn=turn,
        )
        for cpus in ([2, 4] if full else [2])
        for turn in ([1, 2] if full else [1])
        for layout in ["stock", "near"]
    ]  # fmt: skip


def syncs_guests(full: bool) -> list[Guest]:
    """Synchronisations are counted by the guest's kernel: without the model."""
    return [
        Guest(f"{layout}-syncs-{turn}", "syncs", layout, "syncs", cpus=4, turn=turn, models=())
        for turn in ([1, 2] if full else [1])
        for layout in ["stock", "near"]
    ]


def entropy_guests(full: bool) -> list[Guest]:
    """The module can be inserted again; the stock kernel must boot, with another seed each time."""
    suite = "entropy" if full else "entropy1"
    # One boot is one place, whatever the suite.
    stock = [
        Guest(
            f"stock-entropy-{seed}", "entropy", "stock", "entropy1",
            kaslr=True, seed=seed, turn=seed, models=(),
        )
        for seed in [1, 2, 3]
    ]  # fmt: skip
    return [Guest("near-entropy", "entropy", "near", suite, kaslr=True, models=()), *stock]


def linear_guest(full: bool) -> Guest:
    """A linear map with blocks, which the kernel has on no other CPU model."""
    suite = "linear" if full else "linear1"
    return Guest("linear", "linear", "both", suite, cpu="max-bbml3", memory="4G", models=())


def hardware_guests() -> list[Guest]:
    """Stock and module in turn, counted by the machine itself."""
    return [
        Guest(
            f"{layout}-hardware-{turn}", "hardware", layout, "hardware",
            cpu="host", turn=turn, models=(),
        )
        for turn in range(1, 11)
        for layout in ["stock", "near"]
    ]  # fmt: skip


def has_counters() -> bool:
    """Whether this is an arm64 machine with KVM, or its user says that it counts anyway."""
    arm64 = os.uname().machine == "aarch64" and os.access("/dev/kvm", os.W_OK)
    return arm64 or bool(os.environ.get("BPF_PACK_BENCH_HARDWARE"))


def guests(full: bool, hardware: bool) -> list[Guest]:
    """The plan, in the order of booting."""
    models = geometries(full)
    planned = main_guests("full" if full else "quick", models) + compiler_guests(full, models)
    if full:
        planned += full_guests(models)
    planned += [Guest(f"{layout}-holds", "holds", layout, "holds") for layout in ["stock", "timed"]]
    planned += [
        Guest(f"{layout}-kaslr", "kaslr", layout, "calls", kaslr=True)
        for layout in ["stock", "near", "far"]
    ]
    planned += entropy_guests(full)
    planned.append(linear_guest(full))
    planned += syncs_guests(full) + parallel_guests(full)
    return planned + (hardware_guests() if full and hardware else [])


def minutes(planned: list[Guest], jobs: int) -> int:
    """How long the plan takes, about."""
    seconds = sum(guest.seconds / guest.at_a_time(jobs) for guest in planned)
    return math.ceil(seconds / 60)


def write(planned: list[Guest]) -> str:
    """The plan as JSON lines; what follows from the fields stands there, too."""
    return "".join(
        json.dumps(dataclasses.asdict(guest) | {"machine": guest.machine, "seconds": guest.seconds})
        + "\n"
        for guest in planned
    )


def read(path: pathlib.Path) -> list[Guest]:
    """A plan that write() wrote. A field that an older one lacks has its default."""
    names = [field.name for field in dataclasses.fields(Guest)]
    planned = []
    for line in map(json.loads, path.read_text().splitlines()):
        fields = {name: line[name] for name in names if name in line}
        planned.append(Guest(**(fields | {"models": tuple(line["models"])})))
    return planned


def listing(planned: list[Guest]) -> str:
    """The plan for a reader."""
    head = ["guest", "layout", "suite", "CPU", "CPUs", "kernel", "KASLR", "repeats", "twin of"]
    head += ["models", "s"]
    rows = [head]
    for guest in planned:
        cells = [guest.name, guest.layout, guest.suite, guest.cpu, guest.cpus, guest.flavour]
        cells += ["yes" if guest.kaslr else "", guest.repeats or "", guest.twin_of or ""]
        rows.append([str(cell) for cell in [*cells, len(guest.models), guest.seconds]])
    wide = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip()
        for row in rows
    ]
    total = f"{len(planned)} guests, about {minutes(planned, 2)} minutes two at a time"
    return "\n".join([*lines, "", total, ""])


def main() -> int:
    """Prints the plan; returns the exit status."""
    arguments = set(sys.argv[1:])
    if unknown := arguments - {"--quick", "--json", "--flavours", "--extras"}:
        print(f"plan.py: unknown: {' '.join(sorted(unknown))}\n{__doc__}", file=sys.stderr)
        return 2
    planned = guests(full="--quick" not in arguments, hardware=has_counters())
    if "--json" in arguments:
        text = write(planned)
    elif "--flavours" in arguments:
        text = "".join(f"{flavour}\n" for flavour in sorted({guest.flavour for guest in planned}))
    elif "--extras" in arguments:
        text = "".join(
            f"{extra}\n" for extra in sorted({one.extra for one in planned if one.extra})
        )
    else:
        text = listing(planned)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
