#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The live page tables: nothing is writable and executable, each pack is one
# 2 MiB leaf, and no writable mapping of a pack's memory exists (I1, I2). Seeded
# violations show that the checks can fail.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test ptcheck
need_tool hold_progs run_progs kcore_read
need_module bpf_pack bpf_pack_ptwalk

PACK_BYTES=2097152

# ask FILE [REQUEST] - what the file answers.
ask() {
	if [ $# -gt 1 ]; then
		echo "$2" >"$WALK/$1" || return
	fi
	cat "$WALK/$1"
}

# answers_ok FILE [REQUEST] - the last line is the verdict.
answers_ok() {
	ask "$@" >"$WORK/answer" || return
	cat "$WORK/answer"
	[ "$(tail -n 1 "$WORK/answer")" = 'result: ok' ]
}

# pack_ranges - "START END" of each pack, without the 0x.
pack_ranges() {
	sed -nE 's/.*0x([0-9a-f]{16})-0x([0-9a-f]{16}).*/\1 \2/p' "$STATUS"
}

first_pack() {
	pack_ranges | head -n 1 | cut -d ' ' -f 1
}

leaf_of_pack() {
	ask walk "0x$1"
	ask walk "0x$1" | grep -E 'span=2097152 ' | grep -q 'perm=r-x'
}

# kcore_is WHAT ADDRESS - a debugger that reads a whole pack at this address gets this.
kcore_is() {
	got=$("$TOOLS/kcore_read" "$2" "$PACK_BYTES") || return
	echo "got: $got"
	[ "$got" = "$1" ]
}

# plant SEED - makes a violation; "none" takes it away.
plant() {
	echo "$*" >"$WALK/seed"
}

check "insmod of the walker" load_walk
check "nothing is writable and executable on the stock kernel" answers_ok check
check "insmod" load_pack
check "programs are loaded" hold_start held --count 200 --attach fentry --attach kprobe --attach tracepoint
check "nothing is writable and executable" answers_ok check
check "there is a pack" test -n "$(first_pack)"
pack_ranges >"$WORK/packs"
while read -r start end; do
	check "pack at $start is one 2 MiB leaf" leaf_of_pack "$start"
	check "pack at $start has no writable alias" answers_ok alias "0x$start $PACK_BYTES"
	check "pack ends at $end" test $((0x$end - 0x$start)) -eq "$PACK_BYTES"
done <"$WORK/packs"

# Through the linear map, where packs have no alias: the kernel must not try.
if [ -r /proc/kcore ]; then
	check "reading kernel text through /proc/kcore gives data" \
		kcore_is data "0x$(awk '$3 == "_stext" { print $1 }' /proc/kallsyms)"
	check "reading a pack through it gives zeroes" kcore_is zeroes "0x$(first_pack)"
else
	skip_case "reading a pack through /proc/kcore gives zeroes" "this kernel has no /proc/kcore"
fi

if plant wx; then
	check_fails "a writable and executable page is found" 'result: [1-9]' answers_ok check
	check "it is taken away" plant none
	check "nothing is found then" answers_ok check
else
	skip_case "a writable and executable page is found" "the seed was refused"
fi
if plant alias "0x$(first_pack)"; then
	check_fails "a writable alias of a pack is found" 'result: [1-9]' \
		answers_ok alias "0x$(first_pack) $PACK_BYTES"
	check "it is taken away too" plant none
	check "no alias is found then" answers_ok alias "0x$(first_pack) $PACK_BYTES"
else
	skip_case "a writable alias of a pack is found" "the seed was refused"
fi

check "the programs end" hold_stop "$HOLDER"
check "nothing is writable and executable after freeing" answers_ok check
check "rmmod" unload_pack
check "nothing is writable and executable after rmmod" answers_ok check
finish_test
