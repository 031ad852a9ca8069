#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Every step that can fail does so in turn (I8). If insmod fails, the log says why and
# the stock kernel works as before. If something fails later, the stock allocator takes
# over or the one program is refused; then everything works again, and nothing is left.
# Last of all, memory that cannot be filled with traps stays out of use: see test-lost.sh.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/faults.sh
. "$DIR/shell/faults.sh"

start_test faults
need_tool run_progs attach_far
need_module bpf_pack bpf_pack_test bpf_pack_holder
load_walk || true

SAMPLE='socket_filter fentry'
# How often a fault is repeated whose leak would show in the kernel's free memory.
REPEATS=4
# What may be missing afterwards, in KiB: less than one pack.
SLACK=1500

# stock_works - programs load, attach and run without the module.
stock_works() {
	! is_loaded bpf_pack || return 1
	"$TOOLS/run_progs" --expect stock socket_filter
}

# refused REASON MESSAGE [PARAMETER]... - insmod fails, and MESSAGE says why.
refused() {
	what=$1 message=$2
	shift 2
	mark_log
	check_fails "$what: insmod fails" 'insmod|insert' load_test_pack "$@"
	check "$what: the log says why" log_says "$message"
	check "$what: programs work without the module" stock_works
}

# free_memory - in KiB: what the kernel calls free, and the free pages that it keeps for
# each CPU, among them blocks of 2 MiB. Caches are emptied before.
free_memory() {
	echo 3 >/proc/sys/vm/drop_caches
	awk -v page="$(($(page_size) / 1024))" '
		FNR == NR && /^MemFree:/ { free += $2 }
		FNR != NR && /^ +count:/ { free += $2 * page }
		END { print free }' /proc/meminfo /proc/zoneinfo
}

LEAKS=$DEBUGFS/kmemleak

# no_leak - the kernel's own search finds nothing that is lost. The second scan reports
# what was lost before the first.
no_leak() {
	echo scan >"$LEAKS" && sleep 6 && echo scan >"$LEAKS" && ! grep . "$LEAKS"
}

# missing_symbols - each symbol is missing in turn, until insmod misses none.
missing_symbols() {
	symbols=0
	while ! load_test_pack fault="$(fault symbol)" fault_skip="$symbols" 2>"$WORK/insmod.log"; do
		symbols=$((symbols + 1))
		log_since_mark | grep -q "this kernel has no symbol" || return 1
		mark_log
		[ "$symbols" -lt 200 ] || return 1
	done
	echo "symbols: $symbols"
	unload_pack && [ "$symbols" -gt 20 ]
}

# without_packs NAME - a pack cannot be made: programs are the stock allocator's.
without_packs() {
	check "$1: insmod succeeds" load_test_pack fault="$(fault "$1")"
	run_cases "$1" "$TOOLS/run_progs" --expect stock socket_filter
	check "$1: the step failed" test "$(faults_failed)" -gt 0
	check "$1: status counts what went to the stock allocator" \
		test "$(status_value to_stock_no_memory)" -gt 0
	check "$1: status does not say that there are too many packs" test "$(status_value to_stock_full)" -eq 0
	check "$1: no image is in packs" test "$(images_served)" -eq 0
	check "$1: no region is left" test "$(status_value mapped_bytes)" -eq 0
	check "$1: rmmod succeeds" unload_pack
	before=$(free_memory)
	check "$1: $REPEATS times more" again_and_again "$1"
	check "$1: the memory is free again" loop_until has_again "$before"
}

again_and_again() {
	count=0
	while [ "$count" -lt "$REPEATS" ]; do
		load_test_pack fault="$(fault "$1")" && unload_pack || return 1
		count=$((count + 1))
	done
}

has_again() {
	echo "free: $(free_memory) KiB, before: $1 KiB"
	[ "$(free_memory)" -ge "$(($1 - SLACK))" ]
}

# while_failing NAME DESCRIPTION COMMAND... - COMMAND answers as described while NAME fails;
# afterwards everything works and is in packs.
while_failing() {
	point=$1 what=$2
	shift 2
	check "$point: insmod succeeds" load_test_pack near_packs="$NEAR"
	check "$point: the fault is armed" arm_fault "$point"
	check "$point: $what" "$@"
	check "$point: the step failed" test "$(faults_failed)" -gt 0
	check "$point: the fault is disarmed" disarm_faults
	# shellcheck disable=SC2086
	run_cases "$point, disarmed" "$TOOLS/run_progs" $SAMPLE
	check "$point: rmmod succeeds" unload_pack
}

# some_fail COMMAND... - it fails: a program was not compiled, or not attached.
some_fail() {
	! "$@"
}

# bound_otherwise NAME - a kernel that calls the module has no such step.
bound_otherwise() {
	case $1 in
	probe-* | lookup | symbol | optional-symbol | hook-site | hook-list | hook-memory | hook-filter | proof-* | far-*)
		is_native
		;;
	*) false ;;
	esac
}

check "the test build lists the points" list_faults
# shellcheck disable=SC2016 # quotes of the message
if is_native; then
	skip_case "several symbols of one name" "this kernel calls the module, which looks for no symbols"
elif [ "$(grep -c ' init_once$' /proc/kallsyms)" -gt 1 ]; then
	refused "several symbols of one name" 'symbols `init_once`: no telling which is meant' symbol_twice=1
else
	skip_case "several symbols of one name" "this kernel has only one symbol init_once"
fi
# The function that is hooked last, when all other hooks are in place, and an earlier one.
for function in bpf_prog_pack_alloc bpf_jit_binary_pack_finalize; do
	if is_native; then
		skip_case "$function held" "this kernel calls the module, which redirects nothing"
		continue
	fi
	check "$function held: insmod of its holder succeeds" insmod "$(module bpf_pack_holder)" function="$function"
	refused "$function held" "$function is held by another user of ftrace"
	check "$function held: rmmod of its holder succeeds" rmmod bpf_pack_holder
done
refused "near_packs out of range" 'parameter near_packs=129: must be from 0 to 128' near_packs=129
refused "randomize out of range" 'parameter randomize=2: must be from 0 to 1' randomize=2
refused "align no power of two" 'parameter align=96: must be a power of two' align=96
refused "fault out of range" "parameter fault=999: must be from 0 to $(wc -l <"$WORK/faults")" fault=999

# Each point that there is: a point that nobody tests is a failure.
while read -r number name <&3; do
	NEAR=16
	if bound_otherwise "$name"; then
		skip_case "$name" "this kernel calls the module"
		continue
	fi
	case $name in
	symbol)
		refused "$name" "this kernel has no symbol" fault="$number"
		mark_log
		check "$name: insmod fails for each symbol by itself" missing_symbols
		;;
	# test-loads.sh: insmod succeeds.
	optional-symbol) ;;
	probe-memory) refused "$name" "cannot look symbols up" fault="$number" ;;
	probe-register) refused "$name" "no kprobe on kallsyms_lookup_name" fault="$number" ;;
	lookup) refused "$name" "this kernel has no symbol" fault="$number" ;;
	service | slots | regions | index | holes | owners)
		refused "$name" "cannot make the books" fault="$number"
		;;
	sleep) refused "$name" "cannot watch for sleep" fault="$number" ;;
	hook-list) refused "$name" "cannot hook" fault="$number" ;;
	hook-site | hook-memory | hook-filter)
		refused "$name" "cannot hook" fault="$number"
		refused "$name, the last one" "cannot hook" fault="$number" fault_skip=$(($(count_hooks) - 1))
		;;
	hook-register)
		if is_native; then
			refused "$name" "cannot register with the JIT" fault="$number"
			continue
		fi
		refused "$name" "is held by another user of ftrace" fault="$number"
		refused "$name, the last one" "is held by another user of ftrace" fault="$number" fault_skip=$(($(count_hooks) - 1))
		;;
	proof-program) refused "$name" "cannot make a BPF program to try" fault="$number" ;;
	# The proof does not see a call through the hook, as if the function were inlined.
	proof-alloc) refused "$name" "does not come through the hook on bpf_prog_pack_alloc" fault="$number" ;;
	proof-finalize)
		refused "$name" "does not come through the hook on bpf_jit_binary_pack_finalize" fault="$number"
		;;
	proof-free) refused "$name" "does not come through the hook on bpf_prog_pack_free" fault="$number" ;;
	region-memory | region-leaf | region-traps | region-alias | region-shared | pack-words | pack-slot)
		without_packs "$name"
		;;
	lease)
		# shellcheck disable=SC2086
		while_failing "$name" "the stock allocator serves" "$TOOLS/run_progs" --expect stock $SAMPLE
		;;
	# test-unit.sh: the JIT warns of every finalize that fails.
	copy-read | window) ;;
	far-target | far-branch)
		NEAR=0
		while_failing "$name" "programs are not attached" some_fail "$TOOLS/attach_far"
		;;
	# test-lost.sh: the module cannot be removed any more.
	traps) ;;
	*) check "$name: a test knows this point" false ;;
	esac
done 3<"$WORK/faults"

check "no fault: insmod of the shipped module succeeds" load_pack
# shellcheck disable=SC2086
run_cases "no fault" "$TOOLS/run_progs" $SAMPLE
check "no fault: rmmod succeeds" unload_pack
if [ -e "$LEAKS" ]; then
	check "the kernel finds no lost memory" no_leak
else
	skip_case "the kernel finds no lost memory" "this kernel has no kmemleak"
fi
finish_test
