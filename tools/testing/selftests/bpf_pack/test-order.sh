#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The order of the module's steps, which no result shows: from trace events of the module
# and of the kernel, and from probes on the functions that the module calls. An image is
# final only after cache maintenance and a synchronisation of all CPUs (I3), freed memory
# is used again only after another one (I4), freeing allocates nothing (I6), the pool lock
# is not held across work (I11), and interrupts are off for one page at a time (I12).
# order/judge.awk has the rules, also those for I1, I2 and I10.
#
# Environment: KEEP_TRACES names a folder that gets a copy of the recorded traces.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test order
need_tool hold_progs load_functions run_progs stress_progs
need_module bpf_pack
need_tracefs
[ -e "$TRACING/kprobe_events" ] || skip_all "no kprobe events"
[ -e "$TRACING/events/csd" ] || skip_all "no trace events for calls of other CPUs"

EVENTS="$TRACING/events"
PROBES=bpf_pack_order
# Kilobytes for each CPU; a trace from which events are lost proves nothing.
BUFFER=16384
CPUS=$(count_cpus)

# --- events and probes -------------------------------------------------------

# add_probe NAME FUNCTION [ARGUMENT]...
add_probe() {
	name=$1 function=$2
	shift 2
	echo "p:$PROBES/$name $function $*" >>"$TRACING/kprobe_events"
}

# add_return_probe NAME FUNCTION
add_return_probe() {
	echo "r:$PROBES/$1 $2" >>"$TRACING/kprobe_events"
}

# add_binding_probes - what writes, maintains caches, synchronises and frees: helpers of the module
# and a function that it redirects, or functions of a kernel that calls it.
add_binding_probes() {
	if is_native; then
		add_probe order_write aarch64_insn_copy_nosync 'start=%x0:x64' 'size=%x2:x64' &&
			add_return_probe order_wrote aarch64_insn_copy_nosync &&
			add_probe order_fill aarch64_insn_set_nosync 'start=%x0:x64' 'size=%x2:x64' &&
			add_return_probe order_filled aarch64_insn_set_nosync &&
			add_probe order_synchronise aarch64_insn_sync &&
			add_probe order_free __bpf_prog_pack_free 'image=%x0:x64'
	else
		add_probe order_poke bpf_pack:bpf_pack_helper_open_window &&
			add_return_probe order_poked bpf_pack:bpf_pack_helper_close_window &&
			add_probe order_clean bpf_pack:bpf_pack_helper_make_fetchable 'start=%x0:x64' 'end=%x1:x64' &&
			add_probe order_synchronise bpf_pack:bpf_pack_helper_synchronise_cpus &&
			add_probe order_free bpf_prog_pack_free 'image=%x0:x64'
	fi
}

# add_probes - x0 to x7 are the functions' arguments.
add_probes() {
	add_probe order_lock mutex_lock 'lock=%x0:x64' 'caller=%x30:symbol' &&
		add_probe order_unlock mutex_unlock 'lock=%x0:x64' &&
		add_binding_probes &&
		add_probe order_window __set_fixmap 'physical=%x1:x64' &&
		add_probe order_map __vmalloc_node_range_noprof &&
		add_probe order_alias set_direct_map_valid_noflush
}

# pool_lock - the address of the pool lock: reading the status takes no other one.
pool_lock() {
	echo 1 >"$EVENTS/$PROBES/order_lock/enable"
	# shellcheck disable=SC2153 # functions.sh sets it
	cat "$STATUS" >/dev/null
	echo 0 >"$EVENTS/$PROBES/order_lock/enable"
	sed -n 's/.*order_lock:.*lock=\(0x[0-9a-f]*\) caller=.*\[bpf_pack\].*/\1/p' "$TRACING/trace" |
		sort -u >"$WORK/locks"
	[ "$(wc -l <"$WORK/locks")" -eq 1 ] && cat "$WORK/locks"
}

# trace_setup - chooses the events, but records none yet.
trace_setup() {
	echo nop >"$TRACING/current_tracer"
	echo global >"$TRACING/trace_clock"
	echo "$BUFFER" >"$TRACING/buffer_size_kb"
	echo >"$TRACING/trace"
	add_probes || return
	lock=$(pool_lock) || {
		cat "$WORK/locks" "$TRACING/trace"
		return 1
	}
	for event in lock unlock; do
		echo "lock == $lock" >"$EVENTS/$PROBES/order_$event/filter"
	done
	# Workers free programs; allocations by other tasks are of no interest.
	for event in kmalloc kmem_cache_alloc mm_page_alloc; do
		echo 'comm ~ "kworker*"' >"$EVENTS/kmem/$event/filter"
	done
}

# trace_switch VALUE - switches all the events on (1) or off (0).
trace_switch() {
	for event in bpf_pack "$PROBES" csd/csd_function_entry kmem/kmalloc kmem/kmem_cache_alloc \
		kmem/mm_page_alloc; do
		echo "$1" >"$EVENTS/$event/enable"
	done
}

# trace_clear - removes all probes and filters, as far as they were set.
trace_clear() {
	trace_switch 0 2>/dev/null || true
	echo 1 >"$TRACING/tracing_on"
	for event in kmalloc kmem_cache_alloc mm_page_alloc; do
		echo 0 >"$EVENTS/kmem/$event/filter" || true
	done
	for probe in lock unlock poke poked window clean write wrote fill filled synchronise map alias free; do
		echo "-:$PROBES/order_$probe" >>"$TRACING/kprobe_events" || true
	done 2>/dev/null
	echo local >"$TRACING/trace_clock"
	echo 1 >"$TRACING/buffer_size_kb"
}

# record NAME COMMAND... - writes the trace of COMMAND to $WORK/NAME.trace. tracing_on
# begins and ends it for all events at once, which are switched one by one.
record() {
	record_name=$1
	shift
	echo 0 >"$TRACING/tracing_on"
	echo >"$TRACING/trace"
	trace_switch 1
	echo 1 >"$TRACING/tracing_on"
	status=0
	"$@" || status=$?
	echo 0 >"$TRACING/tracing_on"
	trace_switch 0
	cat "$TRACING/trace" >"$WORK/$record_name.trace"
	if [ -n "${KEEP_TRACES:-}" ]; then
		cp "$WORK/$record_name.trace" "$KEEP_TRACES/"
	fi
	return "$status"
}

# is_complete TRACE - no event was lost.
is_complete() {
	sed -n 's|^# entries-in-buffer/entries-written: \([0-9]*/[0-9]*\).*|\1|p' "$1" >"$WORK/entries"
	cat "$WORK/entries"
	awk -F / '{ exit $1 != $2 }' "$WORK/entries"
}

# --- the rules ---------------------------------------------------------------

# judge TRACE - a line "RULE: what happened" for each violation, and "count WHAT N" for
# each kind of step that the trace has.
judge() {
	awk -v cpus="$CPUS" -f "$DIR/order/judge.awk" "$1"
}

# obeys NAME RULE - the recording NAME has no violation of RULE.
obeys() {
	! grep "^$2:" "$WORK/$1.verdict" | head -n 5 | grep .
}

# saw NAME WHAT - the recording NAME has steps of this kind.
saw() {
	grep '^count' "$WORK/$1.verdict"
	[ "$(sed -n "s/^count $2 //p" "$WORK/$1.verdict")" -gt 0 ]
}

# rules NAME - the cases of one recording.
rules() {
	judge "$WORK/$1.trace" >"$WORK/$1.verdict"
	check "$1: no event was lost" is_complete "$WORK/$1.trace"
	check "$1: the trace has images that became final" saw "$1" finalized
	check "$1: the trace has images that were freed" saw "$1" freed
	check "$1: the trace has memory released after synchronisation" saw "$1" released
	check "$1: the trace has memory that was used again" saw "$1" reused
	check "$1: the trace has pages mapped for writing" saw "$1" windows
	check "$1: no page is left writable (I1)" obeys "$1" I1
	check "$1: freed images are overwritten (I2)" obeys "$1" I2
	check "$1: images are final after copy, maintenance and synchronisation, in this order (I3)" obeys "$1" I3
	check "$1: memory is released and used again after synchronisation (I4)" obeys "$1" I4
	check "$1: freeing allocates nothing (I6)" obeys "$1" I6
	check "$1: every image starts a chunk (I10)" obeys "$1" I10
	check "$1: no work is done with the pool lock held (I11)" obeys "$1" I11
	if is_native; then
		skip_case "$1: interrupts are off for one page at a time (I12)" "this kernel switches them off where no probe can be"
	else
		check "$1: interrupts are off for one page at a time (I12)" obeys "$1" I12
	fi
}

# --- the load ----------------------------------------------------------------

# hold_and_stop LABEL ARGUMENT... - programs that come and go.
hold_and_stop() {
	# shellcheck disable=SC2119
	hold_start "$@" && hold_stop "$HOLDER"
}

# one_by_one - programs come and go, some with trampolines, one of many pages, some of
# several functions; the last ones get memory that was used before.
one_by_one() {
	hold_and_stop first --count 20 || return
	hold_and_stop second --count 20 --attach fentry || return
	"$TOOLS/run_progs" over_64_KiB || return
	"$TOOLS/load_functions" 9 3 || return
	loop_until images_are 0 || return
	loop_until nothing_retired || return
	hold_and_stop third --count 20
}

# at_once - two waves of programs on all CPUs, some of several functions; the second gets
# memory of the first.
at_once() {
	for _ in 1 2; do
		"$TOOLS/stress_progs" --workers $((2 * CPUS)) --rounds "${ROUNDS:-15}" || return
		"$TOOLS/load_functions" 5 5 $((2 * CPUS)) || return
		loop_until images_are 0 || return
		loop_until nothing_retired || return
	done
}

# Packs stay: none is given back and made anew at another address.
check "insmod succeeds" load_pack retain_seconds=250
trap 'trace_clear; cleanup' EXIT
check "all events and probes can be set" trace_setup
# The last probe: if one is missing, the rules prove nothing.
if [ -e "$EVENTS/$PROBES/order_alias" ]; then
	check "one_by_one: programs come and go one by one, with right results" record one_by_one one_by_one
	rules one_by_one
	check "one_by_one: the trace has allocations by workers, so that it would show theirs while freeing" saw one_by_one allocations
	check "at_once: programs come and go on all CPUs, with right results" record at_once at_once
	rules at_once
fi
trace_clear
check "rmmod succeeds" unload_pack
finish_test
