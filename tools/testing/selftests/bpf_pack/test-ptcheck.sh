#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The live page tables: nothing is writable and executable, each pack is one 2 MiB leaf,
# and nothing maps a pack's memory writable (I1). Violations that the test plants show
# that the checks can fail.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test ptcheck
need_tool hold_progs run_progs kcore_read
need_module bpf_pack bpf_pack_ptwalk

PACK_BYTES=2097152
KMEMLEAK=$DEBUGFS/kmemleak

# ask FILE [REQUEST] - writes REQUEST to a file of bpf_pack_ptwalk, and shows the answer.
ask() {
	if [ $# -gt 1 ]; then
		echo "$2" >"$WALK/$1" || return
	fi
	cat "$WALK/$1"
}

# answers_ok FILE [REQUEST] - the last line of the answer is "result: ok".
answers_ok() {
	ask "$@" >"$WORK/answer" || return
	cat "$WORK/answer"
	[ "$(tail -n 1 "$WORK/answer")" = 'result: ok' ]
}

# first_pack - the address of the first pack.
first_pack() {
	packs | sed -n '1s/ .*//p'
}

# is_one_leaf ADDRESS - one leaf of 2 MiB maps it, read-only and executable.
is_one_leaf() {
	ask walk "0x$1"
	ask walk "0x$1" | grep -E 'span=2097152 ' | grep -q 'perm=r-x'
}

# kcore_is WHAT ADDRESS - who reads the size of a pack there through /proc/kcore gets WHAT.
kcore_is() {
	got=$("$TOOLS/kcore_read" "$2" "$PACK_BYTES") || return
	echo "got: $got"
	[ "$got" = "$1" ]
}

# kmemleak_skips ADDRESS - kmemleak, which reads memory without expecting a fault, leaves it alone:
# the flag OBJECT_NO_SCAN is 4 (mm/kmemleak.c).
kmemleak_skips() {
	mark_log
	echo "dump=0x$1" >"$KMEMLEAK" || return
	log_since_mark >"$WORK/object"
	cat "$WORK/object"
	flags=$(sed -n 's/.*flags = \(0x[0-9a-f]*\).*/\1/p' "$WORK/object")
	[ $((flags & 4)) -ne 0 ]
}

# plant SEED - makes a violation; "none" removes it.
plant() {
	echo "$*" >"$WALK/seed"
}

check "insmod of the page-table walker succeeds" load_walk
check "nothing is writable and executable: stock kernel" answers_ok check
check "insmod succeeds" load_pack
check "200 programs and 3 attached ones work" hold_start held --count 200 --attach fentry --attach kprobe --attach tracepoint
check "nothing is writable and executable: programs in packs" answers_ok check
check "status lists a pack" test -n "$(first_pack)"
packs >"$WORK/packs"
while read -r start end _; do
	check "the pack at $start is one 2 MiB leaf" is_one_leaf "$start"
	check "the pack at $start has no writable alias" answers_ok alias "0x$start $PACK_BYTES"
	check "the pack at $start has 2 MiB and ends at $end" test $((0x$end - 0x$start)) -eq "$PACK_BYTES"
done <"$WORK/packs"

# /proc/kcore reads through the linear map, where packs are not mapped.
if [ -r /proc/kcore ]; then
	check "/proc/kcore gives data for kernel text" \
		kcore_is data "0x$(awk '$3 == "_stext" { print $1 }' /proc/kallsyms)"
	check "/proc/kcore gives zeroes for a pack" kcore_is zeroes "0x$(first_pack)"
else
	skip_case "/proc/kcore gives zeroes for a pack" "this kernel has no /proc/kcore"
fi

if [ -e "$KMEMLEAK" ]; then
	check "kmemleak does not read the first pack" kmemleak_skips "$(first_pack)"
else
	skip_case "kmemleak does not read the first pack" "this kernel has no kmemleak"
fi

if plant wx; then
	check_fails "planted: a writable and executable page is found" 'result: [1-9]' answers_ok check
	check "planted: the writable and executable page is removed" plant none
	check "nothing is writable and executable: planted page removed" answers_ok check
else
	skip_case "planted: a writable and executable page is found" "the seed was refused"
fi
if plant alias "0x$(first_pack)"; then
	check_fails "planted: a writable alias of a pack is found" 'result: [1-9]' \
		answers_ok alias "0x$(first_pack) $PACK_BYTES"
	check "planted: the writable alias is removed" plant none
	check "planted: no writable alias of the pack is found after that" answers_ok alias "0x$(first_pack) $PACK_BYTES"
else
	skip_case "planted: a writable alias of a pack is found" "the seed was refused"
fi

check "the programs end, with right results" hold_stop "$HOLDER"
check "nothing is writable and executable: programs freed" answers_ok check
check "rmmod succeeds" unload_pack
check "nothing is writable and executable: after rmmod" answers_ok check
finish_test
