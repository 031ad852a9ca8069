#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# record-sizes.sh - runs each tool of the distribution's libbpf-tools for a moment on
# the stock kernel and prints the jited sizes of the programs that it loads, as the C
# header guest/sizes.h:
#
#   tools/bench/record-sizes.sh >tools/bench/guest/sizes.h
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

OUT=$BUILD/bench/sizes

# script - makes the overlay with the script that runs in the guest.
script() {
	mkdir -p "$OUT/script"
	cat >"$OUT/script/run" <<'GUEST'
# newest - the number of the program that was loaded last: numbers only grow.
newest() {
	bpftool -j prog show | grep -o '"id":[0-9]*' | tail -n 1
}

cd /overlay/libbpf-tools
sort list >/tmp/list
while read -r tool arguments; do
	bpftool -j prog show >/tmp/before
	last=$(newest)
	"./$tool" $arguments </dev/null >/tmp/out 2>&1 &
	# Waits for the tool's first program, or for its end; its other programs follow at once.
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		[ "$(newest)" = "$last" ] && kill -0 $! 2>/dev/null || break
		sleep 1
	done
	sleep 1
	echo "tool $tool"
	echo "before $(cat /tmp/before)"
	echo "after $(bpftool -j prog show)"
	kill -INT $! 2>/dev/null
	sleep 0.5
	kill -KILL $! 2>/dev/null
	wait $! 2>/dev/null
done </tmp/list
true
GUEST
}

# header - prints the C header.
header() {
	python3 -B - "$OUT/said" "$(cat "$BUILD/kit/arm64/release")" "$(cat "$OUT/tools/package")" <<'PYTHON'
import json, sys

said, kernel, package = sys.argv[1:]
programs, quiet, tool, before = [], [], None, set()
for line in open(said):
    word, _, rest = line.rstrip("\n").partition(" ")
    if word == "tool":
        tool = rest.removesuffix("-libbpf")
    elif word == "before":
        before = {program["id"] for program in json.loads(rest)}
    elif word == "after":
        new = [(tool, program.get("name", "?"), program["bytes_jited"])
               for program in json.loads(rest) if program["id"] not in before]
        programs += new
        quiet += [] if new else [tool]
if not programs:
    sys.exit("no tool loaded a program")
sizes = [size for _, _, size in programs]
print(f"""/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Jited bytes of the programs of the tools of {package.replace('%3a', ':')},
 * in order of loading, on the stock kernel {kernel} with KASLR:
 * {len(programs)} programs of {len({tool for tool, _, _ in programs})} tools, {sum(sizes)} bytes. Made by record-sizes.sh.
 *
 * Tools that loaded nothing, or ended at once:""")
line = " *"
for name in quiet:
    if len(line) + len(name) > 90:
        print(line)
        line = " *"
    line += " " + name
print(line + "\n */")
for tool, name, size in programs:
    print(f"{size},\t/* {tool}: {name} */")
PYTHON
}

main() {
	enter_toolchain "$(realpath "$0")" "$@"
	"$(dirname "$0")/tools.sh" "$OUT/tools"
	script
	"$ROOT/scripts/vm" --timeout 600 --overlay "$OUT/tools/root" --overlay "$OUT/script" -- 'sh /overlay/run' >"$OUT/said"
	header
}

main "$@"
