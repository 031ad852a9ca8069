#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What can be opened from outside is there only from when nothing of insmod can
# fail any more (I15): a file that was opened of a module whose insmod then fails
# would outlive it.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

ROUNDS=2

start_test early
need_tool open_early
need_module bpf_pack bpf_pack_test bpf_pack_holder

# fails ROUNDS LOADER [PARAMETER]... - insmod fails so many times.
fails() {
	rounds=$1
	shift
	while [ "$rounds" -gt 0 ]; do
		if "$@"; then
			echo "insmod succeeded" && return 1
		fi
		rounds=$((rounds - 1))
	done
}

# opened - how many files the tool got; it closes them after it has said that.
opened() {
	sed -n 's/^opened //p' "$HOLD_LOG"
}

# while_opening WHAT COMMAND... - COMMAND, while somebody tries to open the files.
while_opening() {
	what=$1
	shift
	check "$what: somebody tries to open files" start_tool early open_early
	check "$what: insmod fails" "$@"
	check "$what: closing what was opened, if anything" hold_stop "$HOLDER"
	comment <"$HOLD_LOG"
	check "$what: nothing could be opened" test "$(opened)" -eq 0
}

# The last one that is hooked: all others are in place by then.
check "another user holds bpf_prog_pack_alloc" insmod "$(module bpf_pack_holder)" function=bpf_prog_pack_alloc
while_opening "a function held" fails "$ROUNDS" load_pack
check "the other user leaves" rmmod bpf_pack_holder
# Not 6: the proof then waits for seconds, and fails at the same place.
for fault in 4 5; do
	while_opening "no proof, fault=$fault" fails 1 load_test_pack fault="$fault"
done

# What shows that the tool would have seen them.
check "somebody tries to open files" start_tool early open_early
check "insmod works" load_pack
check "files are being opened" loop_until status_value packs
sleep 0.5
check_fails "rmmod is refused while they are open (I7)" 'in use|busy|temporarily' rmmod bpf_pack
check "they are closed" hold_stop "$HOLDER"
check "there were some" test "$(opened)" -gt 0
check "rmmod" unload_pack
finish_test
