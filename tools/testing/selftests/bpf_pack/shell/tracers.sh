# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Tracers of all kinds on the functions that the module redirects: attach() and detach()
# them by the name of their kind, calls() shows what one counted. test-tracers.sh sources
# this file; TRACING is where tracefs is.

# The redirected functions; want() knows that bpf_arch_text_copy() is the fourth.
FUNCTIONS="bpf_prog_pack_alloc bpf_prog_pack_free bpf_jit_binary_pack_finalize bpf_arch_text_copy \
bpf_arch_text_poke bpf_fixup_call_args"
# The group of our trace events, whose names are SET__FUNCTION.
GROUP=bpf_pack_tracers
# The kinds that are attached.
ATTACHED=''

# --- probes and instances ----------------------------------------------------

# instance SET - the folder of the tracing instance for a set of events or a tracer.
instance() {
	echo "$TRACING/instances/$GROUP.$1"
}

# add_events SET TYPE FUNCTION[%return]...
add_events() {
	set_name=$1 type=$2
	shift 2
	mkdir -p "$(instance "$set_name")" || return
	for place; do
		event=${set_name}__${place%%%*}
		echo "$type:$GROUP/$event $place" >>"$TRACING/dynamic_events" &&
			echo 1 >"$(instance "$set_name")/events/$GROUP/$event/enable" || return
	done
}

# drop_events SET
drop_events() {
	for event in "$TRACING/events/$GROUP/$1"__*; do
		[ -e "$event" ] || continue
		echo 0 >"$(instance "$1")/events/$GROUP/${event##*/}/enable" &&
			echo "-:$GROUP/${event##*/}" >>"$TRACING/dynamic_events" || return
	done
	rmdir "$(instance "$1")"
}

# hits SET - a line "FUNCTION CALLS" for each probe; CALLS includes those it missed.
hits() {
	awk -v begin="$1__" 'index($1, begin) == 1 { print substr($1, length(begin) + 1), $2 + $3 }' \
		"$TRACING/kprobe_profile"
}

# --- attaching and detaching -------------------------------------------------

# lacking KIND - says why this kernel has no such tracer; fails if it has one.
lacking() {
	case $1 in
	fprobe*) ! grep -q '^[[:space:]]*f\[' "$TRACING/README" && echo "no fprobe events" ;;
	function*) ! grep -qw "$1" "$TRACING/available_tracers" && echo "no such tracer" ;;
	profiler) [ ! -e "$TRACING/function_profile_enabled" ] && echo "no function profiler" ;;
	*) cat "$WORK/lacking.$1" 2>/dev/null ;;
	esac
}

# attach_tracer NAME
attach_tracer() {
	mkdir -p "$(instance "$1")" || return
	for function in $FUNCTIONS; do
		echo "$function" >>"$(instance "$1")/set_ftrace_filter" || return
	done
	# With this option the end of a call names its function.
	if [ "$1" = function_graph ]; then
		echo 1 >"$(instance "$1")/options/funcgraph-tail" || return
	fi
	echo "$1" >"$(instance "$1")/current_tracer"
}

detach_tracer() {
	echo nop >"$(instance "$1")/current_tracer" && rmdir "$(instance "$1")"
}

attach_profiler() {
	for function in $FUNCTIONS; do
		echo "$function" >>"$TRACING/set_ftrace_filter" || return
	done
	echo 1 >"$TRACING/function_profile_enabled"
}

detach_profiler() {
	echo 0 >"$TRACING/function_profile_enabled"
	echo >"$TRACING/set_ftrace_filter"
}

# attach_bpf KIND - starts trace_hooked, which prints "ready" or why it cannot be.
attach_bpf() {
	# A "ready" of the last time must not count.
	: >"$WORK/bpf.$1"
	"$TOOLS/trace_hooked" "$1" >"$WORK/bpf.$1" 2>&1 &
	echo $! >"$WORK/pid.$1"
	HOLDERS="$HOLDERS $!"
	loop_until test -s "$WORK/bpf.$1" && grep -q '^ready' "$WORK/bpf.$1" && return
	cat "$WORK/bpf.$1"
	failure=0
	wait "$(cat "$WORK/pid.$1")" || failure=$?
	if [ "$failure" -eq "$KSFT_SKIP" ]; then
		cp "$WORK/bpf.$1" "$WORK/lacking.$1"
	fi
	return 1
}

# attach KIND
attach() {
	ATTACHED="$ATTACHED $1"
	# shellcheck disable=SC2086 # a list of names
	case $1 in
	kprobe) add_events "$1" p $FUNCTIONS ;;
	kretprobe) add_events "$1" r $FUNCTIONS ;;
	kretprobe_*) add_events "$1" "r${1#kretprobe_}" $FUNCTIONS ;;
	fprobe) add_events "$1" f $FUNCTIONS ;;
	fprobe_return)
		# shellcheck disable=SC2046
		add_events "$1" f $(printf '%s%%return ' $FUNCTIONS)
		;;
	fentry | fexit | *.multi) attach_bpf "$1" ;;
	function | function_graph) attach_tracer "$1" ;;
	profiler) attach_profiler ;;
	esac
}

# detach KIND
detach() {
	remaining=''
	for tracer in $ATTACHED; do
		[ "$tracer" = "$1" ] || remaining="$remaining $tracer"
	done
	ATTACHED=$remaining
	case $1 in
	kprobe | kretprobe | kretprobe_* | fprobe*) drop_events "$1" ;;
	fentry | fexit | *.multi) hold_stop "$(cat "$WORK/pid.$1")" ;;
	function | function_graph) detach_tracer "$1" ;;
	profiler) detach_profiler ;;
	esac
}

# --- counting ----------------------------------------------------------------

# answers FILE COUNT - the file has COUNT answers or more.
answers() {
	[ "$(grep -c '^end' "$1")" -ge "$2" ]
}

# ask_bpf KIND - has trace_hooked print its counts.
ask_bpf() {
	answer=$(($(grep -c '^end' "$WORK/bpf.$1") + 1))
	kill -USR1 "$(cat "$WORK/pid.$1")" &&
		loop_until answers "$WORK/bpf.$1" "$answer" &&
		tail -n 7 "$WORK/bpf.$1"
}

# raw_calls KIND - the counts of a tracer: lines "FUNCTION CALLS", any number for each function.
raw_calls() {
	case $1 in
	kprobe | kretprobe | kretprobe_*)
		hits "$1"
		;;
	fprobe*)
		sed -n "s/.* $1__\([a-z_]*\): (.*/\1 1/p" "$(instance "$1")/trace"
		;;
	fentry | fexit | *.multi)
		ask_bpf "$1"
		;;
	function)
		sed -n 's/.*: \([a-z_]*\) <-.*/\1 1/p' "$(instance "$1")/trace"
		;;
	function_graph)
		# The beginning and the end of a call are half a call each.
		sed -n 's/.* \([a-z_]*\)();.*/\1 1/p; s/.* \([a-z_]*\)() {.*/\1 0.5/p
			s|.*} /\* \([a-z_]*\) .*|\1 0.5|p' "$(instance "$1")/trace"
		;;
	profiler)
		awk '$2 ~ /^[0-9]+$/ { print $1, $2 }' "$TRACING"/trace_stat/function*
		;;
	esac
}

# calls KIND - the calls of each of FUNCTIONS, on one line.
calls() {
	raw_calls "$1" >"$WORK/raw" || return
	awk -v names="$FUNCTIONS" '
		{ sum[$1] += $2 }
		END {
			count = split(names, name)
			for (i = 1; i <= count; i++)
				printf "%s%s", sum[name[i]] + 0, i < count ? " " : "\n"
		}' "$WORK/raw"
}
