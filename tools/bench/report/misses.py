# SPDX-License-Identifier: GPL-2.0
"""Misses and walks while programs run: of BPF text, and of everything else."""

from collections.abc import Iterator

from .compare import Figure, Worse, all_worse
from .runs import CLASSES, MAIN, Run, Runs, RunsError
from .text import SHORT, in_order, number, section as titled, table

# The purposes of guests that run scenarios, and how the report calls them.
TITLES = {
    "main": "",
    "fleet": "A fleet's programs",
    "many": "100,000 programs",
    "large": "1,000 large programs",
    "tools": "The tools of libbpf-tools",
    "newer_cpu": "-cpu max",
    "sensitivity": "Sensitivity",
    "pages_16k": "Kernel with 16 KiB pages",
}
# Where fewer models are shown than were run.
SHOWN = {"newer_cpu": [MAIN]}
# The hot pages fit if there are fewer BPF misses per round than this share of them.
FITS = 0.1
SCENARIO = ["mix", "live", "hot", "place", "temperature"]


def classes_of(model: dict) -> dict:
    """Misses, walks and leaves of each class."""
    wanted = ["misses", "walks", "leaves"]
    return {cls: {what: model["class"][cls][what] for what in wanted} for cls in CLASSES}


def cell(run: Run, line: dict) -> dict:
    """What one layout's model counted in one scenario."""
    region = run.region(line)
    if not region["class"]["bpf"]["insns"]:
        raise RunsError(f"{run.name}: region {line['region']}: no BPF instruction was executed")
    return {
        "hot_pages": line["hot_pages"],
        "live_bytes": line["live_bytes"],
        "bpf_insns": region["class"]["bpf"]["insns"],
        "insns": region["insns"],
        "lengths": line.get("lengths"),
        "models": {model["model"]: classes_of(model) for model in region["models"]},
    }


def scenarios(by_layout: dict[str, Run]) -> list[dict]:
    """A row for each scenario. A guest with a shorter suite has only some of them."""
    lines = {
        layout: {tuple(line[name] for name in SCENARIO): line for line in run.said("hot")}
        for layout, run in by_layout.items()
    }
    found = []
    for scenario, line in lines["stock"].items():
        row = dict(zip(SCENARIO, scenario, strict=True), rounds=line["rounds"], layouts={})
        for layout, run in by_layout.items():
            if scenario in lines[layout]:
                row["layouts"][layout] = cell(run, lines[layout][scenario])
            elif any(
                scenario in lines[other]
                for other in by_layout
                if by_layout[other].guest.suite == run.guest.suite
            ):
                raise RunsError(f"{run.name}: no row {scenario}")
        found.append(row)
    if not found:
        raise RunsError("no scenario")
    return found


def sizes_of(run: Run) -> dict:
    """The recorded sizes that the realistic mix is made of, in figures."""
    for line in run.said("loaded"):
        if line["mix"] == "realistic":
            known = {what: line[what] for what in ["recorded", "mean", "shortest", "raised"]}
            return known | {"used_mean": line["bytes"] / line["live"]}
    raise RunsError(f"{run.name}: no realistic mix")


def rows(runs: Runs) -> dict:
    """The scenarios of each purpose, with the models they ran under."""
    found = {}
    for purpose in TITLES:
        if by_layout := runs.layouts(purpose, ["stock", "near"]):
            models = by_layout["stock"].models
            found[purpose] = {"models": models, "rows": scenarios(by_layout)}
    if "main" not in found:
        raise RunsError("no scenario")
    return found | {"sizes": sizes_of(runs.layouts("main")["stock"])}


def count(row: dict, layout: str, what: str = "misses", model: str = MAIN, cls: str = "bpf") -> int:
    """Misses or walks of a scenario."""
    return row["layouts"][layout]["models"][model][cls][what]


def name_of(row: dict) -> str:
    """A scenario in words."""
    mix = f"{row['mix']} B" if row["mix"].isdigit() else row["mix"]
    return f"{mix}, {row['live']} live, {row['hot']} hot, {row['place']}, {row['temperature']}"


def modelled(found: dict) -> Iterator[tuple[str, dict, str]]:
    """Every scenario under every model: title of its purpose, row, model."""
    for purpose, title in TITLES.items():
        part = found.get(purpose, {"rows": [], "models": []})
        for row in part["rows"]:
            for model in part["models"]:
                yield title, row, model


def figures(found: dict) -> Iterator[Figure]:
    """Misses and walks of every scenario, stock's and the module's (near, as it is by default).

    Models whose first levels are the same count the same misses: they are named once.
    """
    seen = set()
    for title, row, model in modelled(found):
        where = name_of(row) + (f", {title}" if title else "")
        for cls in CLASSES:
            for what in ["misses", "walks"]:
                stock, near = (count(row, side, what, model, cls) for side in ["stock", "near"])
                one = (where, cls, what, model.partition("/")[2], stock, near)
                if what == "misses" and one in seen:
                    continue
                seen.add(one)
                text = f"{cls} {what}, {model}, {row['rounds']} rounds"
                yield Figure(where, text, stock, near)


def worse(found: dict) -> list[Worse]:
    """Scenarios in which the module has more misses or walks."""
    return all_worse(figures(found))


def threshold(found: dict, place: str) -> tuple[dict | None, dict | None]:
    """The largest hot set of the realistic sweep that fits stock, and the smallest that not."""
    fits = grows = None
    sweep = [
        row
        for row in found["main"]["rows"]
        if (row["mix"], row["live"], row["temperature"]) == ("realistic", 1000, "warm")
        and (row["place"] == place or row["hot"] == row["live"])
    ]
    for row in sorted(sweep, key=lambda row: row["hot"]):
        pages = row["layouts"]["stock"]["hot_pages"]
        if count(row, "stock") / row["rounds"] < FITS * pages:
            fits = row
        else:
            grows = grows or row
    return fits, grows


def edge(row: dict | None) -> str:
    """A hot set at the threshold, in words."""
    if row is None:
        return "none measured"
    pages = row["layouts"]["stock"]["hot_pages"]
    per_round = count(row, "stock") / row["rounds"]
    return f"{row['hot']} programs on {pages} pages ({per_round:.1f} misses per round)"


def summary(found: dict) -> list[str]:
    """Lines for the head of the report."""
    warm = [row for row in found["main"]["rows"] if row["temperature"] == "warm"]
    most = max(warm, key=lambda row: count(row, "stock"))
    left = [count(row, "near") for row in warm]
    spread_fits, spread_grows = threshold(found, "spread")
    dense_fits, dense_grows = threshold(found, "dense")
    return [
        f"* **BPF iTLB misses left**, warm: at most {max(left)} in a region (not zero in "
        f"{sum(map(bool, left))} of {len(warm)} scenarios); stock's largest: "
        f"{number(count(most, 'stock'))} → {number(count(most, 'near'))} ({name_of(most)}, "
        f"{most['rounds']} rounds).",
        f"* **4 KiB packing is enough** up to {edge(spread_fits)} taken evenly from 1,000 live "
        f"ones, no longer at {edge(spread_grows)}; packed side by side up to {edge(dense_fits)}, "
        f"no longer at {edge(dense_grows)}. (Enough: fewer misses per round than {FITS:.0%} of "
        "the hot pages.)",
    ]


def misses_table(rows_: list[dict], model: str, title: str) -> str:
    """Misses and walks of BPF text under one model."""

    def text(row: dict, layout: str) -> str:
        if layout not in row["layouts"]:
            return "not run"
        walks = count(row, layout, "walks", model)
        shown = number(count(row, layout, "misses", model))
        return f"{shown} ({number(walks)})" if walks else shown

    layouts = in_order(rows_[0]["layouts"])
    body = []
    for row in rows_:
        stock, near = (count(row, layout, "misses", model) for layout in ["stock", "near"])
        cells = [row["mix"], number(row["live"]), number(row["hot"]), row["place"]]
        cells += [row["temperature"], row["rounds"], row["layouts"]["stock"]["hot_pages"]]
        cells += [text(row, layout) for layout in layouts] + [number(near - stock)]
        body.append([*cells, f"{stock / row['rounds']:.2f}", f"{near / row['rounds']:.2f}"])
    head = ["mix", "live", "hot", "place", "iTLB", "rounds", "hot pages, stock"]
    head += [SHORT[layout] for layout in layouts]
    head += ["near − stock", "stock per round", "near per round"]
    return titled(f"### {title}", table(head, body))


def classes_table(rows_: list[dict]) -> str:
    """The other classes, and whether the same was executed."""
    body = []
    for row in rows_:
        cells = [name_of(row)]
        for cls in ["kernel", "user"]:
            cells += [number(count(row, side, cls=cls)) for side in ["stock", "near"]]
        cells += [number(row["layouts"][side]["bpf_insns"]) for side in ["stock", "near"]]
        leaves = row["layouts"]["near"]["models"][MAIN]["bpf"]["leaves"]
        seen = ", ".join(f"{times} × {size}" for size, times in leaves.items() if times)
        body.append([*cells, seen or "none"])
    head = ["scenario", "kernel misses, stock", "near", "user misses, stock", "near"]
    head += ["bpf instructions, stock", "near", "leaves of bpf walks, near"]
    return titled(f"### Other classes, {MAIN}", table(head, body))


def section(found: dict) -> str:
    """The section of the report."""
    sizes, main = found["sizes"], found["main"]["rows"]
    parts = [
        titled(
            "## BPF iTLB misses and walks",
            "Misses of the first level in the region of all rounds; page-table walks stand in "
            "parentheses where there were any. A round runs each hot program once, 34 in one "
            'system call (BPF_PROG_TEST_RUN, tail calls). "realistic": sizes of real programs, '
            f"{sizes['recorded']} programs of libbpf-tools as recorded on the stock kernel "
            f"(`guest/sizes.h`, mean {sizes['mean']} B), in order of loading, again and again. "
            f"{sizes['raised']} of them are shorter than a program with a tail call can be and "
            f"have {sizes['shortest']} B here, so the mean is {sizes['used_mean']:.0f} B. "
            '"flush": empty TLBs before each system call, an upper bound; "evict64", '
            '"evict2000": 64 or 2,000 pages of user code are called before each round. "fleet", '
            '"churn64": short-lived programs come and go while the others are loaded, and 64 '
            "before each round. The counts are exact and repeat to the digit; random replacement "
            "has one seed or several, as listed. Not shown: programs that do something, calls to "
            "helpers, data, time.",
        )
    ]
    for purpose, title in TITLES.items():
        if purpose not in found:
            continue
        part = found[purpose]
        for model in SHOWN.get(purpose, part["models"]):
            parts.append(misses_table(part["rows"], model, f"{title}, {model}" if title else model))
        if purpose == "main":
            parts.append(classes_table(main))
    no_gain = [row for row in main if count(row, "stock") <= count(row, "near")]
    lines = [f"* {name_of(row)}: {count(row, 'stock')} → {count(row, 'near')}" for row in no_gain]
    parts.append(titled(f"### Scenarios without a gain, {MAIN}", "\n".join(lines) or "None."))
    return "\n".join(parts)
