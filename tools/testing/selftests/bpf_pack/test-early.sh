#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The debugfs files appear only when insmod can no longer fail (I15): a file that
# somebody opened while insmod fails would outlive the module.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/faults.sh
. "$DIR/shell/faults.sh"

ROUNDS=2

start_test early
need_tool open_early
need_module bpf_pack bpf_pack_test bpf_pack_holder

# fails ROUNDS LOADER [PARAMETER]... - insmod fails ROUNDS times.
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

# opened - the number of files that the tool opened; it prints that before it closes them.
opened() {
	sed -n 's/^opened //p' "$HOLD_LOG"
}

# holds_files - the tool has opened files of the module.
holds_files() {
	for fd in "/proc/$HOLDER/fd/"*; do
		case $(readlink "$fd") in */bpf_pack/*) return ;; esac
	done
	return 1
}

# while_opening REASON COMMAND... - COMMAND, while open_early tries to open the files.
while_opening() {
	what=$1
	shift
	check "$what: a tool tries to open the files" start_tool early open_early
	check "$what: insmod fails while the tool tries" "$@"
	check "$what: the tool closes what it opened and ends" hold_stop "$HOLDER"
	comment <"$HOLD_LOG"
	check "$what: the tool could open no file" test "$(opened)" -eq 0
}

if is_native; then
	# There the registration is the last thing that can fail.
	check "another allocator: its insmod succeeds" insmod "$(module bpf_pack_registrar)"
	while_opening "another allocator" fails "$ROUNDS" load_pack
	check "another allocator: its rmmod succeeds" rmmod bpf_pack_registrar
else
	# The function that is hooked last: all other hooks are in place by then.
	check "bpf_prog_pack_alloc held: insmod of its holder succeeds" insmod "$(module bpf_pack_holder)" function=bpf_prog_pack_alloc
	while_opening "bpf_prog_pack_alloc held" fails "$ROUNDS" load_pack
	check "bpf_prog_pack_alloc held: rmmod of its holder succeeds" rmmod bpf_pack_holder
	# Not proof-free: the proof then waits for seconds, and fails at the same place.
	check "the test build lists the points" list_faults
	for point in proof-alloc proof-finalize; do
		while_opening "$point fails" fails 1 load_test_pack fault="$(fault "$point")"
	done
fi

# Shows that the tool would have opened the files.
check "success: a tool tries to open the files" start_tool early open_early
check "success: insmod succeeds while the tool tries" load_pack
check "success: the files appear" loop_until status_value packs
check "success: the tool has files open" loop_until holds_files
check_fails "success: rmmod is refused while the files are open (I7)" "$IN_USE" rmmod bpf_pack
check "success: the tool closes the files and ends" hold_stop "$HOLDER"
check "success: the tool had opened files" test "$(opened)" -gt 0
check "success: rmmod succeeds" unload_pack
finish_test
