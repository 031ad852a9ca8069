# SPDX-License-Identifier: GPL-2.0
"""Tests bpfpack as a whole, on recorded machines. tools/bpfpack/run test starts it.

Prints KTAP. The environment names the programs: BPFPACK, GENERATE.
"""

import itertools
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
from harness import (
    BPFPACK,
    FIXTURES,
    HERE,
    MODULE,
    RECORDED,
    SIGNED,
    Machine,
    Terminal,
    as_nobody,
    bpfpack,
    expect,
    replace,
    run,
    validate,
)


def json_follows_its_schemas() -> None:
    """All formats, on all recorded machines."""
    for recorded in (*RECORDED, "refused"):
        for command in ("status", "list", "map", "metrics", "doctor", "top", "unload", "advise"):
            extra = {"top": ["--count", "1", "--interval", "0.1"], "unload": ["--dry-run"]}
            result = bpfpack(recorded, command, "--json", *extra.get(command, []))
            expect(result.returncode in (0, 1, 2), recorded, command, result)
            expect(not result.stderr, recorded, command, result.stderr)
            validate(command, result.stdout)
            validate(command, result.stdout, strict=False)


def schemas_refuse_what_is_wrong() -> None:
    """Spoils a report in several ways."""
    report = json.loads(bpfpack("loaded", "list", "--json").stdout)
    for spoil in (
        lambda r: r["images"][0].pop("address"),
        lambda r: r["images"][0].update(what="nonsense"),
        lambda r: r["packs"][0].update(near="yes"),
        lambda r: r.pop("retired"),
        lambda r: r["retired"].update(count=-1),
        lambda r: r.update(unknown=1),
    ):
        spoiled = json.loads(json.dumps(report))
        spoil(spoiled)
        try:
            validate("list", json.dumps(spoiled))
        except jsonschema.ValidationError:
            continue
        raise AssertionError("the schema accepts a spoiled report")
    # A later version of the tool may say more.
    report["images"][0].update(new=1)
    report["packs"][0].update(new=1)
    report.update(new=1)
    validate("list", json.dumps(report), strict=False)


def addresses_are_exact() -> None:
    """Many readers of JSON take a number for a double, which has 53 bits."""
    exact = re.compile("0xffff[0-9a-f]{12}")
    for command in ("list", "map", "status"):
        report = json.loads(bpfpack("loaded", command, "--json").stdout, parse_int=float)
        images = report.get("images", report.get("stock", []))
        places = [(pack["start"], pack["end"]) for pack in report["packs"]]
        places += [(image["address"],) for image in images]
        expect(len(places) > 1, command, report)
        for address in itertools.chain(*places):
            expect(exact.fullmatch(str(address)), command, address)


def statuses_tell() -> None:
    """What each exit status means."""
    for recorded, status in (("loaded", 0), ("degraded", 1), ("absent", 2)):
        result = bpfpack(recorded, "status")
        expect(result.returncode == status, recorded, result)
        quiet = bpfpack(recorded, "status", "--quiet")
        expect(quiet.returncode == status and not quiet.stdout, recorded, quiet)
    expect(bpfpack("absent", "doctor").returncode == 0, "a kernel that qualifies")
    expect(bpfpack("refused", "doctor").returncode == 1, "a kernel that does not")
    expect(bpfpack("loaded", "nonsense").returncode == 64, "wrong arguments")
    expect(bpfpack("loaded", "--help").returncode == 0, "--help")


def list_sorts_and_filters() -> None:
    """The options of list, and what its text names."""

    def ids(*arguments: str) -> list[int]:
        report = json.loads(bpfpack("loaded", "list", "--json", *arguments).stdout)
        return [image.get("id") for image in report["images"] if image["what"] == "program"]

    expect(ids("--sort", "id") == [5, 14, 20, 20, 21, 33], ids("--sort", "id"))
    expect(ids("--sort", "size")[:2] == [21, 33], ids("--sort", "size"))
    expect(ids("--sort", "age")[0] == 33 and ids("--sort", "age", "-r")[-1] == 33, "age")
    expect(ids("--sort", "runs")[0] == 21, "runs")
    expect(ids("--place", "stock") == [5] and ids("--place", "far") == [33], "place")
    expect(ids("--type", "xdp") == [21] and ids("--name", "connect") == [20, 20], "type, name")
    expect(ids("--id", "33") == [33], "id")
    text = bpfpack("loaded", "list").stdout
    for wanted in ("systemd-udevd.service", "dhclient (pid 402)", "function 77 of vmlinux"):
        expect(wanted in text, wanted, text)


def list_leaves_out_what_is_retired() -> None:
    """But counts it; --all and --retired list it."""

    def listed(*arguments: str) -> tuple[int, int, dict]:
        report = json.loads(bpfpack("loaded", "list", "--json", *arguments).stdout)
        states = [image["state"] for image in report["images"]]
        retired = [state for state in states if state in ("retired", "retiring", "syncing")]
        return len(states) - len(retired), len(retired), report["retired"]

    live, retired, counted = listed()
    expect(live > 0 and retired == 0, live, retired)
    expect(counted == {"count": 2, "bytes": 320, "listed": False}, counted)
    expect(listed("--all") == (live, 2, counted | {"listed": True}), listed("--all"))
    expect(listed("--retired") == (0, 2, counted | {"listed": True}), listed("--retired"))
    far = {"count": 1, "bytes": 64, "listed": False}
    expect(listed("--place", "far") == (1, 0, far), listed("--place", "far"))
    text = bpfpack("loaded", "list").stdout
    line = "Retired: 2 images (320 B), until a synchronisation of all CPUs; --all lists them, too\n"
    expect(line in text and "(retired)" not in text, text)
    text = bpfpack("loaded", "list", "--all").stdout
    expect(text.count("(retired)") == 2 and "all CPUs\n" in text, text)
    expect("Retired:" not in bpfpack("absent", "list").stdout, "none are retired")
    expect(bpfpack("loaded", "list", "--all", "--retired").returncode == 64, "both")


def errors_name_the_privilege() -> None:
    """A file, debugfs and bpf(2) that are out of reach."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        shutil.copytree(FIXTURES / "loaded", root)
        os.chmod(folder, 0o755)
        (root / "sys/kernel/debug/bpf_pack/status").chmod(0)
        result = run(BPFPACK, "--root", root, "status", **as_nobody())
        expect(result.returncode == 3, result)
        expect("only root may read it (try sudo)" in result.stderr, result.stderr)
        shutil.rmtree(root / "sys/kernel/debug/bpf_pack")
        result = run(BPFPACK, "--root", root, "status")
        expect("is debugfs mounted" in result.stderr, result.stderr)
    result = run(BPFPACK, "list", **as_nobody())
    expect(result.returncode == 3 and "CAP_SYS_ADMIN" in result.stderr, result)


def doctor_knows_who_demands_signatures() -> None:
    """sig_enforce and both modes of lockdown do."""
    with Machine() as machine:
        status, findings = machine.doctor()
        expect(status == 0 and findings["signatures"][0][0] == "good", findings)
        for mode in ("integrity", "confidentiality"):
            machine.lock_down(mode)
            machine.module.write_bytes(MODULE)
            status, findings = machine.doctor()
            expect(status == 1 and findings["signatures"][0][0] == "bad", mode, findings)
            machine.module.write_bytes(MODULE + SIGNED)
            status, findings = machine.doctor()
            # The module's own kprobe is none of those that lockdown forbids.
            expect(status == 0 and findings["signatures"][0][0] == "warn", mode, findings)
            expect(findings["lockdown"][0][0] == "warn", mode, findings)
            machine.module.unlink()
            status, findings = machine.doctor()
            expect(status == 0 and findings["signatures"][0][0] == "warn", mode, findings)


def doctor_reads_compressed_modules() -> None:
    """As DKMS leaves them; it knows nothing of what it cannot read."""
    with Machine() as machine:
        machine.lock_down("integrity")
        machine.module.unlink()
        packed = machine.module.with_name("bpf_pack.ko.xz")
        for module, status, levels in (
            (MODULE + SIGNED, 0, ("good", "warn")),
            (MODULE, 1, ("good", "bad")),
            (MODULE.replace(b"7.3.4", b"6.1.0") + SIGNED, 1, ("bad", "warn")),
        ):
            packed.write_bytes(lzma.compress(module, check=lzma.CHECK_CRC32))
            found, findings = machine.doctor()
            seen = (findings["module"][0][0], findings["signatures"][0][0])
            expect((found, seen) == (status, levels), module, found, findings)
        for path in ("", "/nowhere"):
            if not path:
                packed.write_bytes(b"\xfd7zXZ\0 and nonsense")
            else:
                packed.write_bytes(lzma.compress(MODULE))
            found, findings = machine.doctor(env={**os.environ, "PATH": path or os.environ["PATH"]})
            seen = (findings["module"][0][0], findings["signatures"][0][0])
            expect((found, seen) == (0, ("warn", "warn")), path, findings)
            expect("none" not in findings["signatures"][0][1], findings)


def doctor_says_what_it_cannot_see() -> None:
    """A file that may not be read is a finding, and the others stay."""
    with Machine() as machine:
        machine.write("proc/sys/kernel/ftrace_enabled", "0\n")
        for file, check in (
            ("sys/kernel/tracing/available_filter_functions", "hooks"),
            ("sys/kernel/tracing/enabled_functions", "hooks"),
            ("proc/kallsyms", "symbols"),
            ("proc/cmdline", "command line"),
            ("proc/sys/kernel/arch", "arch"),
            ("sys/module/module/parameters/sig_enforce", "signatures"),
            ("sys/kernel/security/lockdown", "lockdown"),
        ):
            (machine.root / file).chmod(0)
            status, findings = machine.doctor(**as_nobody())
            expect("warn" in [level for level, _ in findings.get(check, [])], file, findings)
            expect(len(findings) > 5, file, findings)
            expect(findings["hooks"][0][0] == "bad" and status == 1, file, findings)
            (machine.root / file).chmod(0o644)


def doctor_does_not_know_the_package() -> None:
    """Kernels of one release differ from package to package."""
    with Machine() as machine:
        _, findings = machine.doctor()
        expect("for which package version" in findings["module"][0][1], findings)


def promtool_accepts_the_metrics() -> None:
    """Also that it would find something, and that the order stays."""
    for recorded in RECORDED:
        text = bpfpack(recorded, "metrics", "--format", "prometheus").stdout
        result = run("promtool", "check", "metrics", input=text)
        expect(result.returncode == 0 and not result.stderr, recorded, result)
    bad = text.replace("# HELP bpf_jit_limit_bytes", "# HELP bpf_jit_other")
    result = run("promtool", "check", "metrics", input=bad)
    expect(result.returncode != 0, "promtool finds nothing wrong with a metric without help")
    again = bpfpack(recorded, "metrics", "--format", "prometheus").stdout
    expect(again == text, "the order changes from run to run")
    open_text = bpfpack("loaded", "metrics").stdout
    expect(open_text.endswith("# EOF\n"), "OpenMetrics end with # EOF")
    expect("# TYPE bpf_pack_to_stock counter\n" in open_text, open_text)


def promtool_accepts_the_rules() -> None:
    """Also that they fire, and name metrics that there are."""
    rules = HERE.parent / "systemd/bpfpack.rules.yml"
    result = run("promtool", "check", "rules", rules)
    expect(result.returncode == 0, result)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(rules, folder)
        shutil.copy(HERE / "rules.test.yml", folder)
        result = run("promtool", "test", "rules", "rules.test.yml", cwd=folder)
    expect(result.returncode == 0, result.stdout, result.stderr)
    # Each metric of a rule is one that the tool prints.
    printed = bpfpack("loaded", "metrics", "--format", "prometheus").stdout
    for line in rules.read_text().splitlines():
        for metric in re.findall(r"\bbpf_\w+", line if "expr:" in line else ""):
            expect(f"# TYPE {metric} " in printed, metric)


def colours_only_where_wanted() -> None:
    """A pipe, a terminal, and a user who wants none."""
    plain = bpfpack("loaded", "map").stdout
    expect("\x1b" not in plain, "colours go to a pipe")
    colored = bpfpack("loaded", "map", "--color", "always").stdout
    expect("\x1b[" in colored, "--color always")
    for text, wanted in (("", True), ("NO_COLOR=1", False), ("TERM=dumb", False)):
        with Terminal(f"env {text} {BPFPACK} --root {FIXTURES}/loaded status") as terminal:
            screen = terminal.wait_for("since load", colors=True)
        expect(("\x1b[" in screen) == wanted, text or "a terminal", repr(screen))


def help_has_its_examples() -> None:
    """Also what a command alone has to say."""
    listed = run(BPFPACK, "--help").stdout.split("Commands:")[1].split("Options:")[0]
    commands = [line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)]
    expect(len(commands) > 9, commands)
    for command in commands:
        text = run(BPFPACK, command, "--help").stdout
        if command != "help":
            expect(text.count("Examples:") == 1, command, text)
    for command, words in (
        ("advise", ("--itlb 48", "--seconds 60", "Counting costs each run")),
        ("measure", ("Images that are live stay", "the mode is put back", "--as-is -- make")),
    ):
        text = run(BPFPACK, command, "--help").stdout
        for wanted in words:
            expect(wanted in text, wanted, text)


def readers_may_go_away() -> None:
    """Nobody reads what goes to standard error, or standard output any more."""
    read, write = os.pipe()
    os.close(read)
    try:
        result = subprocess.run(
            [BPFPACK, "--root", FIXTURES / "loaded", "top"],
            stdout=subprocess.PIPE,
            stderr=write,
            timeout=60,
            check=False,
        )
        expect(result.returncode == 3, "an error that nobody reads", result)
    finally:
        os.close(write)
    forever = [BPFPACK, "--root", FIXTURES / "loaded", "top", "--json", "--interval", "0.1"]
    with subprocess.Popen(forever, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        line = process.stdout.readline()
        process.stdout.close()
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        validate("top", line.decode())
        expect(status == 0 and not process.stderr.read(), "top without a reader", status)


def man_pages_and_completions() -> None:
    """They are there, and the completion completes."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(os.environ["GENERATE"], folder)
        expect(result.returncode == 0, result)
        files = {file.name for file in Path(folder).iterdir()}
        commands = ("status", "list", "map", "top", "advise", "measure", "doctor", "metrics")
        for page in ("bpfpack.1", "bpfpack-unload.1", *(f"bpfpack-{c}.1" for c in commands)):
            expect(page in files, page, files)
        expect(not any("help" in file for file in files), files)
        for file in ("bpfpack.bash", "_bpfpack", "bpfpack.fish"):
            expect(file in files, file, files)
        bash = Path(folder) / "bpfpack.bash"
        script = f". {bash}; COMP_WORDS=(bpfpack st) COMP_CWORD=1; _bpfpack bpfpack st bpfpack; "
        result = run("bash", "-c", script + 'echo "${COMPREPLY[@]}"')
        expect(result.stdout.split() == ["status"], result)


def ends(pid: int) -> bool:
    """Waits until a process is gone, and ends it if it does not go by itself."""
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return False


def top_in_a_terminal() -> None:
    """A dialogue, while the module changes and goes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        shutil.copytree(FIXTURES / "loaded", root)
        status = root / "sys/kernel/debug/bpf_pack/status"
        with Terminal(f"{BPFPACK} --root {root} top --interval 0.2") as terminal:
            screen = terminal.wait_for("serves  8 images  2 packs")
            for wanted in ("loads/s 0.0", "occupancy", "2 MiB block", "q quit"):
                expect(wanted in screen, wanted, screen)
            new = status.read_text().replace("images: 8", "images: 9")
            replace(status, new.replace("images_served: 1204", "images_served: 1304"))
            terminal.wait_for("9 images")
            terminal.keys("p")
            terminal.wait_for("HELD")
            replace(status, new.replace("mode: serve", "mode: drain"))
            terminal.keys("p")
            terminal.wait_for("drains  9 images")
            terminal.keys("+")
            terminal.wait_for("every 0.4 s")
            terminal.keys("-")
            terminal.wait_for("every 0.2 s")
            shutil.rmtree(root / "sys/module/bpf_pack")
            terminal.wait_for("bpf_pack is not loaded")
            terminal.keys("q")
            screen = terminal.wait_for("status 0")
            expect("q quit" not in screen, "the screen is left behind", screen)
        with Terminal(f"{BPFPACK} --root {root} top") as terminal:
            terminal.wait_for("not loaded")
            terminal.keys("C-c")
            terminal.wait_for("status 0")
        # A service manager or a dying session ends it: the terminal is as it was.
        number = Path(folder) / "pid"
        script = f"echo $$ >{number}; exec {BPFPACK} --root {root} top --interval 3600"
        with Terminal(f'sh -c "{script.replace("$", chr(92) + "$")}"') as terminal:
            terminal.wait_for("q quit")
            os.kill(int(number.read_text()), signal.SIGTERM)
            screen = terminal.wait_for("status 0")
            expect("q quit" not in screen, "the screen is left behind", screen)
        with Terminal(f'sh -c "{script.replace("$", chr(92) + "$")}"') as terminal:
            terminal.wait_for("q quit")
        expect(ends(int(number.read_text())), "top outlives its terminal")
    result = bpfpack("loaded", "top")
    expect(result.returncode == 3 and "needs a terminal" in result.stderr, result)


def text_fits_a_narrow_terminal() -> None:
    """And says the same there."""
    columns = 40
    for command in ("status", "list --all", "doctor", "unload --dry-run", "advise", "map"):
        wide = bpfpack("degraded", *command.split()).stdout
        expect(max(map(len, wide.splitlines())) > columns, command, "is not wrapped for a pipe")
        script = f"{BPFPACK} --root {FIXTURES}/degraded {command}"
        with Terminal(script, columns) as terminal:
            terminal.wait_for("\nstatus ")
            lines = terminal.lines()
        end = next(number for number, line in enumerate(lines) if line.startswith("status "))
        for line in lines[:end]:
            # A word is never torn, such as an address or the path of a file.
            expect(len(line.rstrip()) <= columns or len(line.split()) == 1, command, line)
        if command != "map":
            narrow = " ".join(lines[:end]).split()
            expect(narrow == wide.split(), command, narrow, wide.split())
    with Terminal(f"{BPFPACK} --root {FIXTURES}/loaded top", columns) as terminal:
        screen = terminal.wait_for("quit")
        for wanted in ("loads/s 0.0", "frees/s 0.0", "syncs/s 0.0", "to stock/s 0.0", "FREE"):
            expect(wanted in screen, wanted, screen)


def svg_is_a_picture() -> None:
    """Well-formed, and an error where it cannot be written."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "packs.svg"
        result = bpfpack("loaded", "map", "--svg", file)
        expect(result.returncode == 0 and not result.stdout, result)
        expect(ElementTree.parse(file).getroot().tag.endswith("svg"), "no SVG")
        result = bpfpack("loaded", "map", "--svg", Path(folder) / "no/such.svg")
        expect(result.returncode == 3 and "no/such.svg" in result.stderr, result)


TESTS = (
    ("JSON follows its schemas", json_follows_its_schemas),
    ("the schemas refuse what is wrong", schemas_refuse_what_is_wrong),
    ("addresses are exact in JSON", addresses_are_exact),
    ("the exit statuses tell what was found", statuses_tell),
    ("list sorts, filters, and names holders", list_sorts_and_filters),
    ("list leaves out what is retired, and counts it", list_leaves_out_what_is_retired),
    ("errors name the missing privilege", errors_name_the_privilege),
    ("doctor knows who demands signatures", doctor_knows_who_demands_signatures),
    ("doctor reads compressed modules", doctor_reads_compressed_modules),
    ("doctor says what it cannot see", doctor_says_what_it_cannot_see),
    ("doctor does not know the kernel's package", doctor_does_not_know_the_package),
    ("promtool accepts the metrics", promtool_accepts_the_metrics),
    ("promtool accepts the alert rules, and they fire", promtool_accepts_the_rules),
    ("colours only on a terminal, and not with NO_COLOR", colours_only_where_wanted),
    ("the help of each command has its examples", help_has_its_examples),
    ("a reader may go away", readers_may_go_away),
    ("there are man pages and completions for all subcommands", man_pages_and_completions),
    ("top in a terminal: keys, changes, a module that goes", top_in_a_terminal),
    ("text fits a narrow terminal", text_fits_a_narrow_terminal),
    ("map --svg writes a picture", svg_is_a_picture),
)


def main() -> int:
    """Runs all tests."""
    failed = 0
    for number, (name, test) in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} - bpfpack: {name}", flush=True)
        except Exception as error:  # Whatever went wrong, the other tests run.
            failed += 1
            print(f"not ok {number} - bpfpack: {name}", flush=True)
            for line in f"{type(error).__name__}: {error}".splitlines()[:40]:
                print(f"# {line}")
    print(f"1..{len(TESTS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
