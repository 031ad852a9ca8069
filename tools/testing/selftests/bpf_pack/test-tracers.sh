#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Every kind of tracer can be on the redirected functions and counts there the calls that
# it counts on the stock kernel (I14), with one difference while packs serve: the stock
# bpf_jit_binary_pack_finalize() calls bpf_arch_text_copy() for each image, and ours does
# not. BPF programs of others that come and go during the test would be counted, too: it
# wants a machine on which nobody else uses BPF.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

# The numbers are those of instances of a return probe.
KINDS=${KINDS:-kprobe kretprobe kretprobe_1 kretprobe_1024 fprobe fprobe_return fentry fexit \
	kprobe.multi kretprobe.multi function function_graph profiler fmod_ret}
ROUNDS=${ROUNDS:-3}

start_test tracers
need_tool call_hooked trace_hooked run_progs
need_module bpf_pack
need_tracefs
[ -e "$TRACING/kprobe_profile" ] || skip_all "no kprobe events"
[ -e "$TRACING/instances" ] || skip_all "no instances of the tracing buffer"

# shellcheck source=tools/testing/selftests/bpf_pack/shell/tracers.sh
. "$DIR/shell/tracers.sh"

# --- images made and freed, counted without the redirected functions ---------

# witness_start - counts calls of the callers of the functions that make and free images.
witness_start() {
	add_events made p bpf_jit_binary_pack_alloc arch_alloc_bpf_trampoline &&
		add_events gone r bpf_jit_binary_pack_free arch_free_bpf_trampoline
}

# witness - the numbers of images made and freed so far, on one line.
witness() {
	awk '/^ *made__/ { made += $2 + $3 } /^ *gone__/ { gone += $2 + $3 } END { print made + 0, gone + 0 }' \
		"$TRACING/kprobe_profile"
}

images_alive() {
	witness | {
		read -r made gone
		echo $((made - gone))
	}
}

alive_are() {
	alive=$(images_alive)
	echo "images alive: $alive, wanted: $1"
	[ "$alive" -eq "$1" ]
}

# settle - waits until only the images of others and of the attached tracers are left:
# six programs for each kind of BPF tracer, and the trampolines of six functions.
settle() {
	wanted=$OTHERS trampolines=0
	for settling in $ATTACHED; do
		case $settling in
		fentry | fexit) wanted=$((wanted + 6)) trampolines=6 ;;
		*.multi) wanted=$((wanted + 6)) ;;
		esac
	done
	loop_until alive_are $((wanted + trampolines))
}

# find_others - waits until no image has come or gone for half a second, and counts those
# that are alive.
find_others() {
	OTHERS='' same=0
	while [ "$same" -lt 5 ]; do
		alive=$(images_alive)
		same=$((same + 1))
		if [ "$alive" != "$OTHERS" ]; then
			OTHERS=$alive same=0
		fi
		sleep 0.1
	done
}

# --- measuring ---------------------------------------------------------------

# minus FILE FILE - the numbers in the one line of each, subtracted.
minus() {
	paste -d ' ' "$1" "$2" | awk '{
		for (i = 1; i <= NF / 2; i++)
			printf "%s%s", $i - $(i + NF / 2), i < NF / 2 ? " " : "\n"
	}'
}

# finalized - images finalized in packs so far.
finalized() {
	if [ -e "$STATUS" ]; then
		status_value images_finalized
	else
		echo 0
	fi
}

# measure KIND... - runs call_hooked once. $WORK/count.KIND gets the calls that each kind
# counted, the variable COPIES the calls of bpf_arch_text_copy() that packs save; it is
# empty after a failure. Trace buffers, which cannot hold all, are emptied before.
measure() {
	COPIES=''
	settle || return
	for measured; do
		[ ! -e "$(instance "$measured")/trace" ] || echo >"$(instance "$measured")/trace"
		calls "$measured" >"$WORK/before.$measured" || return
	done
	witness >"$WORK/before" && copies=$(finalized) || return
	"$TOOLS/call_hooked" && settle && witness >"$WORK/after" || return
	copies=$(($(finalized) - copies))
	for measured; do
		calls "$measured" >"$WORK/after.$measured" || return
		minus "$WORK/after.$measured" "$WORK/before.$measured" >"$WORK/count.$measured"
	done
	COPIES=$copies
}

# want KIND - the calls that it should have counted in the last measurement.
want() {
	awk -v copies="$COPIES" '{ $4 -= copies; print }' "$WORK/stock.$1"
}

# same_counts KIND - it counted these.
same_counts() {
	echo "calls: $(cat "$WORK/count.$1"), wanted: $(want "$1")"
	[ "$(cat "$WORK/count.$1")" = "$(want "$1")" ]
}

# sees_images KIND - it counted as many images made and freed as their callers did, and
# some calls of the other functions.
sees_images() {
	images=$(minus "$WORK/after" "$WORK/before")
	echo "calls: $(cat "$WORK/count.$1"); images made and gone: $images"
	awk -v images="$images" '{ exit !($1 " " $2 == images && $3 > 0 && $4 > 0 && $5 > 0 && $6 > 0) }' \
		"$WORK/count.$1"
}

# measure_serving KIND... and measure_draining KIND... - measure, and see that packs
# served, or did not.
measure_serving() {
	measure "$@" || return
	echo "images finalized in packs: $COPIES"
	[ "$COPIES" -gt 0 ]
}

measure_draining() {
	measure "$@" || return
	echo "images finalized in packs: $COPIES"
	[ "$COPIES" -eq 0 ]
}

drain_and_measure() {
	control drain && measure_draining "$@"
}

# --- cases -------------------------------------------------------------------

# cases STATE KIND COMMAND... - a case for COMMAND, which measures, and one for the calls
# of each function that KIND counted.
cases() {
	state=$1 counting=$2
	shift 2
	COPIES=''
	check "$counting, $state: the workload gives the right results" "$@"
	[ -n "$COPIES" ] || return 0
	want "$counting" | awk -v names="$FUNCTIONS" '
		NR == FNR { split($0, got) }
		NR > FNR {
			split(names, name)
			for (i = 1; i <= NF; i++)
				print name[i], got[i], $i
		}' "$WORK/count.$counting" - >"$WORK/compared"
	while read -r place got wanted; do
		check "$counting, $state: counts the right calls of $place" test "$got" = "$wanted"
	done <"$WORK/compared"
}

# leave_off KIND... - detaches them, as far as they are attached.
leave_off() {
	for each; do
		detach "$each" || true
	done >/dev/null 2>&1
}

# count_stock KIND - measures on the stock kernel.
count_stock() {
	cat "$WORK/attach.log"
	! is_loaded bpf_pack && measure "$1" && cp "$WORK/count.$1" "$WORK/stock.$1" && sees_images "$1"
}

insmod_and_measure() {
	# shellcheck disable=SC2119 # no parameters
	load_pack && measure_serving "$1"
}

detach_and_serve() {
	detach "$1" && settle && control serve
}

attach_and_measure() {
	attach "$1" && measure_serving "$1"
}

detach_and_rmmod() {
	detach "$1" && unload_pack
}

# one_kind KIND - a tracer that is attached before insmod, and then after it. WORKING
# collects the kinds that count on the stock kernel.
one_kind() {
	if reason=$(lacking "$1") || {
		! attach "$1" >"$WORK/attach.log" 2>&1 && reason=$(lacking "$1")
	}; then
		skip_case "$1" "$reason"
		leave_off "$1"
		return
	fi
	check "$1, stock kernel: counts the images that come and go" count_stock "$1"
	if [ ! -e "$WORK/stock.$1" ]; then
		leave_off "$1"
		return
	fi
	WORKING="$WORKING $1"
	cases "tracer first, serving" "$1" insmod_and_measure "$1"
	cases "tracer first, draining" "$1" drain_and_measure "$1"
	check "$1, tracer first: it can be detached" detach_and_serve "$1"
	cases "module first, serving" "$1" attach_and_measure "$1"
	cases "module first, draining" "$1" drain_and_measure "$1"
	check "$1, module first: the tracer can be detached and the module removed" detach_and_rmmod "$1"
}

attach_all() {
	for each in $WORKING; do
		attach "$each" || return
	done
}

detach_all() {
	for each in $WORKING; do
		detach "$each" || return
	done
}

# cases_all STATE COMMAND - a case for COMMAND, which measures, and one for the calls that
# each kind counted.
cases_all() {
	COPIES=''
	# shellcheck disable=SC2086 # a list of names
	check "all kinds, $1: the workload gives the right results" "$2" $WORKING
	[ -n "$COPIES" ] || return 0
	for each in $WORKING; do
		check "all kinds, $1: $each counts the right calls" same_counts "$each"
	done
}

# all_kinds - the module comes and goes while tracers of all kinds are attached.
all_kinds() {
	check "all kinds: they can be attached together" attach_all
	cases_all "stock kernel" measure
	for round in $(seq "$ROUNDS"); do
		check "all kinds, round $round: insmod succeeds" load_pack
		cases_all "round $round, serving" measure_serving
		if [ "$round" -eq 1 ]; then
			run_cases "all kinds, serving" "$TOOLS/run_progs" fentry
			cases_all "round $round, draining" drain_and_measure
			run_cases "all kinds, draining" "$TOOLS/run_progs" --expect stock freplace
		fi
		check "all kinds, round $round: rmmod succeeds" unload_pack
		cases_all "round $round, removed" measure
	done
	check "all kinds: they can be detached" detach_all
}

# modify STATE - notes how the kernel refuses programs that modify return values.
modify() {
	"$TOOLS/trace_hooked" --modify >"$WORK/modify.$1"
}

# says_alike STATE FUNCTION - the refusal is that of the stock kernel.
says_alike() {
	grep "^$2:" "$WORK/modify.stock" >"$WORK/said" && grep -Fx -f "$WORK/said" "$WORK/modify.$1"
}

# modify_cases STATE
modify_cases() {
	check "fmod_ret, $1: the kernel refuses all programs" modify "$1"
	for place in $FUNCTIONS; do
		check "fmod_ret, $1: the kernel refuses as ever for $place" says_alike "$1" "$place"
	done
}

# modify_refused - no program may modify what the redirected functions return.
modify_refused() {
	failure=0
	modify stock || failure=$?
	if [ "$failure" -eq "$KSFT_SKIP" ]; then
		skip_case "fmod_ret" "$(cat "$WORK/modify.stock")"
		return
	fi
	check "fmod_ret, stock kernel: the kernel refuses all programs" test "$failure" -eq 0
	check "fmod_ret: insmod succeeds" load_pack
	modify_cases serving
	check "fmod_ret: control takes \"drain\"" control drain
	modify_cases draining
	check "fmod_ret: rmmod succeeds" unload_pack
}

# leave - detaches and removes everything of this test, however it ended.
leave() {
	# shellcheck disable=SC2086 # a list of names
	leave_off $ATTACHED
	for each in made gone; do
		[ ! -d "$(instance "$each")" ] || drop_events "$each" || true
	done
	cleanup
}

trap leave EXIT
load_walk || true
WORKING=''
check "probes that count images made and freed can be set" witness_start
find_others
for kind in $KINDS; do
	[ "$kind" = fmod_ret ] || one_kind "$kind"
done
[ -z "$WORKING" ] || all_kinds
case " $KINDS " in *" fmod_ret "*) modify_refused ;; esac
finish_test
