#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Ftrace cannot be switched off below the hooks, and other users of it do not
# disturb them.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test ftrace
need_tool run_progs
need_module bpf_pack
[ -e "$(setting kernel.ftrace_enabled)" ] || skip_all "no kernel.ftrace_enabled"
load_walk || true

TRACING=$(first_of /sys/kernel/tracing /sys/kernel/debug/tracing)
HOOKED=bpf_prog_pack_alloc

ftrace_off() {
	set_setting kernel.ftrace_enabled 0
}

still_enabled() {
	[ "$(cat "$(setting kernel.ftrace_enabled)")" -eq 1 ]
}

# The function tracer on the functions that are hooked.
trace_hooked() {
	echo "$HOOKED" >"$TRACING/set_ftrace_filter"
	echo function >"$TRACING/current_tracer"
}

trace_stop() {
	echo nop >"$TRACING/current_tracer"
	echo >"$TRACING/set_ftrace_filter"
}

served_more() {
	[ "$(images_served)" -gt "$served" ]
}

check "insmod" load_pack
if cat "$TRACING/enabled_functions" >"$WORK/enabled" 2>/dev/null; then
	check "the hook shows in enabled_functions, changing the address" \
		grep -qE "^$HOOKED .*I" "$WORK/enabled"
else
	skip_case "the hook shows in enabled_functions" "no such file"
fi
check_fails "ftrace cannot be switched off" 'busy|not supported' ftrace_off
check "it is still on" still_enabled
served=$(images_served)
check "programs are still served" "$TOOLS/run_progs" socket_filter fentry
check "by packs" served_more

check "the function tracer traces a hooked function" trace_hooked
run_cases "while traced" "$TOOLS/run_progs" socket_filter fentry freplace
check "it saw calls" grep -q "$HOOKED" "$TRACING/trace"
trace_stop
run_cases "after tracing" "$TOOLS/run_progs" socket_filter fentry

check "rmmod" unload_pack
# Newer kernels refuse to switch ftrace off for anybody.
if ftrace_off 2>/dev/null; then
	check_fails "insmod is refused while ftrace is off" . load_pack
	check "ftrace can be switched on" set_setting kernel.ftrace_enabled 1
	check "insmod then" load_pack
	check "rmmod then" unload_pack
else
	skip_case "insmod is refused while ftrace is off" "this kernel never switches ftrace off"
fi
finish_test
