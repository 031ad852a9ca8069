# SPDX-License-Identifier: GPL-2.0
"""Packs and memory lost in them, in a model of both allocators that guests confirm."""

import json

from . import direct
from .compare import Worse, worse as more
from .runs import Runs, RunsError
from .text import number, section as titled, table

ALLOCATORS = ["stock", "module"]
# Bytes of a pack.
PACK = 2 << 20


def modelled(runs: Runs) -> dict:
    """What the model of both allocators printed: {(live, operations, seed): {allocator: line}}."""
    found: dict[tuple, dict] = {}
    for line in (runs.directory / "fragmentation.json").read_text().splitlines():
        row = json.loads(line)
        key = (row["live"], row["operations"], row["seed"])
        found.setdefault(key, {})[row["allocator"]] = row
    if not found or any(sorted(lines) != sorted(ALLOCATORS) for lines in found.values()):
        raise RunsError("the model of fragmentation is not complete")
    return found


def confirmed(runs: Runs, model: dict) -> list[dict]:
    """The operations that guests did too; every image must be where the model has it."""
    found = []
    guests = runs.layouts("holds", ["stock", "timed"])
    for way, (layout, via, title) in direct.WAYS.items():
        run = guests["stock" if layout == "stock" else "timed"]
        lines = [line for line in run.said("random") if line["via"] == via]
        if not lines:
            raise RunsError(f"{way}: no random operations in the guest")
        for line in lines:
            key = (line["live"], line["operations"], line["seed"])
            expected = model.get(key, {}).get("stock" if layout == "stock" else "module", {})
            for what in ["images", "packs", "digest"]:
                if line[what] != expected.get(what):
                    raise RunsError(
                        f"{way}: after random operations {key}: {what} {line[what]} in the guest, "
                        f"{expected.get(what)} in the model"
                    )
            wanted = {what: line[what] for what in ["operations", "images", "packs"]}
            found.append(wanted | {"way": title})
    return found


def rows(runs: Runs) -> dict:
    """The model's lines, and what guests confirm of them."""
    model = modelled(runs)
    return {"confirmed": confirmed(runs, model), "lines": list(model.values())}


def worse(found: dict) -> list[Worse]:
    """Where the module reserves more."""
    result = []
    for lines in found["lines"]:
        stock = lines["stock"]
        where = f"about {stock['live']} images after {stock['operations']} random operations"
        where += f", seed {stock['seed']}, model"
        pair = [lines[allocator]["reserved"] for allocator in ALLOCATORS]
        result += more(where, "bytes reserved by the model", *pair)
    return result


def summary(_found: dict) -> list[str]:
    """No line."""
    return []


def perfect(lines: dict) -> int:
    """How many packs the module's images would fill without a hole."""
    return -(-lines["module"]["chunk_bytes"] // PACK)


def perfectly(lines: dict) -> str:
    """How many packs each allocator uses, and how many would be enough."""
    module = lines["module"]
    return (
        f"{number(module['images'])} images (seed {module['seed']}): {perfect(lines)}, stock "
        f"{lines['stock']['packs']}, module {module['packs']}"
    )


def section(found: dict) -> str:
    """The section of the report."""
    body = []
    for lines in found["lines"]:
        for allocator in ALLOCATORS:
            line = lines[allocator]
            reserved, chunks, jited = (
                line[what] for what in ["reserved", "chunk_bytes", "jited_bytes"]
            )
            cells = [number(line[what]) for what in ["live", "operations", "seed"]] + [allocator]
            cells += [number(line["images"]), number(line["packs"]), number(reserved)]
            cells += [number(reserved * 1000 // line["images"]), number(jited)]
            lost = [reserved - jited, chunks - jited, reserved - chunks]
            body.append(cells + [f"{part / reserved:.2%}" for part in lost])
    agreed = "; ".join(
        f"{row['way']}: {number(row['images'])} images in {row['packs']} packs after "
        f"{number(row['operations'])} operations"
        for row in found["confirmed"]
    )
    head = ["about live", "operations", "seed", "allocator", "images", "packs in use"]
    head += ["bytes reserved", "bytes per 1,000 images", "jited bytes"]
    head += ["lost", "of it rounding", "of it holes"]
    beside = "; ".join(
        perfectly(lines) for lines in found["lines"] if lines["module"]["operations"]
    )
    return titled(
        "### Fragmentation",
        "Random allocations and frees of the realistic size mix, in a model on the host: the "
        "module's own decisions (the crate pack_core) and a transliteration of the stock first "
        "fit. Modelled: the bytes that the JIT reserves for such programs without its random gap, "
        "trimming at finalize, retired memory that waits until a finalize finds 32 KiB of it, near "
        "packs first, short holes that fit before the first place. "
        "Not modelled: time (the module keeps an empty pack for some seconds; in the model it "
        "keeps it for ever, and the pack counts), page tables and book-keeping, a JIT that "
        "reserves more than it needs. Lost: the share of the reserved bytes that are not jited "
        "bytes. Rounding: headers, slack and the rest of the last chunk. Holes: bytes that no "
        "image has, the room at the end of the last pack included.",
        "Guests did the first of these operations, too, and every image was where the model has "
        f"it (a digest of all places is compared): {agreed}.",
        f"Packs in use, beside those that images without a hole would fill: {beside}."
        if beside
        else "",
        table(head, body),
    )
