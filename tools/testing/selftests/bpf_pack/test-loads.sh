#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# All images of a program share one synchronisation of all CPUs at the end of its load,
# frees cause none, and loads at the same time share theirs (I3, I17).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/faults.sh
. "$DIR/shell/faults.sh"

LOADS=${LOADS:-200}

start_test loads
seconds=0
need_tool load_functions
need_module bpf_pack bpf_pack_test bpf_pack_holder

# calls - interrupts for function calls that CPUs took, as the kernel counts them.
calls() {
	awk '/Function call interrupts/ { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) sum += $i }
		END { print sum + 0 }' /proc/interrupts
}

# loaded ARGUMENT... - loads programs; shows how often the CPUs were interrupted.
loaded() {
	calls_before=$(calls) since=$(date +%s)
	"$TOOLS/load_functions" "$@" >"$WORK/loaded" || {
		cat "$WORK/loaded"
		return 1
	}
	seconds=$(($(date +%s) - since))
	echo "interrupts for function calls: $(($(calls) - calls_before))" >>"$WORK/loaded"
	sed 's/^/load_functions: /' "$WORK/loaded"
}

# at_most NUMBER WORD - it counted as many or fewer.
at_most() {
	cat "$WORK/loaded"
	[ "$(sed -n "s/^$2 //p" "$WORK/loaded")" -le "$1" ]
}

# exactly NUMBER WORD
exactly() {
	cat "$WORK/loaded"
	[ "$(sed -n "s/^$2 //p" "$WORK/loaded")" -eq "$1" ]
}

# each_by_itself WHAT - without the hook on bpf_fixup_call_args each image has a
# synchronisation of its own.
each_by_itself() {
	check "$1: nothing is left of insmod" settle
	check "$1: a program of 8 functions gives the right result" loaded 8
	check "$1: its images have 8 synchronisations" exactly 8 synchronisations
	check "$1: no images shared one" exactly 0 loads
	check "$1: rmmod succeeds" unload_pack
}

LOSS='each function of a program interrupts all CPUs by itself'

# settle - waits until freed images need no synchronisation of their own any more.
settle() {
	loop_until images_are 0 && loop_until nothing_retired
}

check "insmod succeeds" load_pack
for functions in 1 2 8 64 256; do
	check "$functions functions: nothing is left from before" settle
	check "$functions functions: the program gives the right result" loaded "$functions"
	check "$functions functions: one synchronisation of all CPUs" exactly 1 synchronisations
	check "$functions functions: the images shared it" exactly $((functions > 1)) loads
done
check "$LOADS loads of 16 functions give right results" loaded 16 "$LOADS"
# Freed images are released with a load, or once a second.
check "$LOADS loads of 16 functions: one synchronisation each" at_most $((LOADS + 2 * seconds + 5)) synchronisations
comment <"$WORK/loaded"
check "eight processes, $LOADS loads of 4 functions each, give right results" loaded 4 "$LOADS" 8
check "eight processes: one synchronisation a load, or fewer" at_most $((8 * LOADS + 2 * seconds + 5)) synchronisations
comment <"$WORK/loaded"
if [ "$(count_cpus)" -gt 1 ]; then
	check "eight processes: some shared a synchronisation of another" \
		test "$(status_value shared_synchronisations)" -gt 0
else
	skip_case "eight processes: some shared a synchronisation of another" "only one CPU"
fi
check "as many images were finalized as functions were loaded" \
	test "$(status_value images_finalized)" -ge $((1 + 2 + 8 + 64 + 256 + 16 * LOADS + 32 * LOADS))
check "no bad call" test "$(status_value bad_calls)" -eq 0
check "the module counts its books and finds them right" control check
check "rmmod succeeds" unload_pack

if is_native; then
	# The kernel itself says where a load begins and ends.
	finish_test
	exit
fi
check "the test build lists the points" list_faults
mark_log
check "no symbol bpf_fixup_call_args: insmod succeeds" load_test_pack fault="$(fault optional-symbol)"
# shellcheck disable=SC2016 # quotes of the message
check "no symbol bpf_fixup_call_args: the log says what is lost" \
	log_says 'this kernel has no symbol `bpf_fixup_call_args`; '"$LOSS"
each_by_itself "no symbol bpf_fixup_call_args"
if grep -q ' bpf_fixup_call_args$' /proc/kallsyms; then
	mark_log
	check "bpf_fixup_call_args held: insmod of its holder succeeds" \
		insmod "$(module bpf_pack_holder)" function=bpf_fixup_call_args
	check "bpf_fixup_call_args held: insmod succeeds" load_pack
	check "bpf_fixup_call_args held: the log says why and what is lost" \
		log_says "no hook on bpf_fixup_call_args: held by another user of ftrace"
	check "bpf_fixup_call_args held: the log says it once" test "$(log_since_mark | grep -c "$LOSS")" -eq 1
	each_by_itself "bpf_fixup_call_args held"
	check "bpf_fixup_call_args held: rmmod of its holder succeeds" rmmod bpf_pack_holder
else
	skip_case "bpf_fixup_call_args held" "this kernel has no such function"
fi
finish_test
