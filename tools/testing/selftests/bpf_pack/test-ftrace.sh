#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Nobody can switch ftrace off while the module has hooks, and other users of ftrace do
# not disturb them (I14).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test ftrace
! is_native || skip_all "this kernel calls the module, which redirects nothing"
need_tool run_progs
need_module bpf_pack
need_tracefs
[ -e "$(setting kernel.ftrace_enabled)" ] || skip_all "no kernel.ftrace_enabled"
load_walk || true

HOOKED=bpf_prog_pack_alloc

ftrace_off() {
	set_setting kernel.ftrace_enabled 0
}

still_enabled() {
	[ "$(cat "$(setting kernel.ftrace_enabled)")" -eq 1 ]
}

# trace_hooked - puts the function tracer on a hooked function.
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

check "insmod succeeds" load_pack
if cat "$TRACING/enabled_functions" >"$WORK/enabled" 2>/dev/null; then
	check "enabled_functions shows the hook as one that redirects" \
		grep -qE "^$HOOKED .*I" "$WORK/enabled"
else
	skip_case "enabled_functions shows the hook as one that redirects" "no such file"
fi
check_fails "the kernel refuses to switch ftrace off" 'busy|not supported' ftrace_off
check "ftrace is still on" still_enabled
served=$(images_served)
check "programs work after the attempt to switch ftrace off" "$TOOLS/run_progs" socket_filter fentry
check "packs serve these programs" served_more

check "the function tracer can trace a hooked function" trace_hooked
run_cases "function traced" "$TOOLS/run_progs" socket_filter fentry freplace
check "the function tracer saw calls of the hooked function" grep -q "$HOOKED" "$TRACING/trace"
trace_stop
run_cases "function no longer traced" "$TOOLS/run_progs" socket_filter fentry

check "rmmod succeeds" unload_pack
# Newer kernels refuse to switch ftrace off for anybody.
if ftrace_off 2>/dev/null; then
	check_fails "insmod is refused while ftrace is off" . load_pack
	check "ftrace can be switched on again" set_setting kernel.ftrace_enabled 1
	check "insmod succeeds with ftrace on again" load_pack
	check "rmmod succeeds with ftrace on again" unload_pack
else
	skip_case "insmod is refused while ftrace is off" "this kernel never switches ftrace off"
fi
finish_test
