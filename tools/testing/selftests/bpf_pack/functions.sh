# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Shell functions for the tests here, for any POSIX shell with busybox or GNU tools.
# A test sources this file, calls start_test, then check, check_fails, run_cases and
# skip_case for its cases (shell/cases.sh), and ends with finish_test.

export LC_ALL=C

DIR=$(cd "$(dirname "$0")" && pwd)
DEBUGFS=/sys/kernel/debug

# first_of FILE... - the first one that exists; fails if none does.
first_of() {
	for candidate in "$@"; do
		if [ -e "$candidate" ]; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# Beside the installed test, in a kernel tree, or in this project's build tree.
BUILT=$DIR/../../../../build
TOOLS=$(dirname "$(first_of "$DIR/run_progs" "$BUILT/selftests/bpf_pack/run_progs" || echo "$DIR/.")")
# shellcheck source=/dev/null
. "$(first_of "$DIR/ktap_helpers.sh" "$DIR/../kselftest/ktap_helpers.sh" \
	"$BUILT/kit/arm64/source/tools/testing/selftests/kselftest/ktap_helpers.sh")"

# shellcheck source=tools/testing/selftests/bpf_pack/shell/cases.sh
. "$DIR/shell/cases.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/module.sh
. "$DIR/shell/module.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/status.sh
. "$DIR/shell/status.sh"

# --- set-up and clean-up -----------------------------------------------------

SAVED_SETTINGS='kernel.kptr_restrict net.core.bpf_jit_harden net.core.bpf_jit_limit
net.core.optmem_max kernel.ftrace_enabled vm.nr_hugepages'

# setting NAME - the file of a sysctl.
setting() {
	echo "/proc/sys/$(echo "$1" | tr . /)"
}

# set_setting NAME VALUE - writes a sysctl; shows the kernel's error.
set_setting() {
	echo "$2" >"$(setting "$1")"
}

# push_config - keeps the values of all settings that tests change.
push_config() {
	for name in $SAVED_SETTINGS; do
		if [ -e "$(setting "$name")" ]; then
			cat "$(setting "$name")" >"$WORK/setting.$name"
		fi
	done
}

# pop_config - puts them back.
pop_config() {
	for name in $SAVED_SETTINGS; do
		if [ -e "$WORK/setting.$name" ] &&
			! cmp -s "$WORK/setting.$name" "$(setting "$name")"; then
			cat "$WORK/setting.$name" >"$(setting "$name")" || true
		fi
	done
}

# cleanup - leaves the machine as it was, however the test ended.
cleanup() {
	trap - EXIT
	for pid in $HOLDERS; do
		if kill "$pid" 2>/dev/null; then
			wait "$pid" 2>/dev/null || true
		fi
	done
	pop_config
	for name in bpf_pack_failer bpf_pack_attacker bpf_pack_keeper bpf_pack_watch bpf_pack_holder bpf_pack_registrar; do
		if is_loaded "$name"; then
			rmmod "$name" || true
		fi
	done
	# A test sets STAYS if the module cannot be removed any more.
	if is_builtin; then
		control drain
	fi
	if [ -z "$STAYS" ] && is_loaded bpf_pack && ! unload_pack >"$WORK/unload.log" 2>&1; then
		comment <"$WORK/unload.log"
	fi
	if is_loaded bpf_pack_ptwalk; then
		rmmod bpf_pack_ptwalk || true
	fi
	if [ -z "$FINISHED" ]; then
		ktap_test_fail "$TEST: ended early"
		ktap_set_plan $((KTAP_TESTNO - 1))
		ktap_print_totals
		rm -rf "$WORK"
		exit "$KSFT_FAIL"
	fi
	rm -rf "$WORK"
}

# start_test NAME - the first call of every test.
start_test() {
	TEST=$1 FINISHED='' HOLDERS='' MARKS=0 STAYS=''
	ktap_print_header
	if [ "$(id -u)" -ne 0 ]; then
		skip_all "must be run as root"
	fi
	if is_loaded bpf_pack; then
		skip_all "bpf_pack is loaded already: run it on a machine where it is not"
	fi
	WORK=$(mktemp -d)
	trap cleanup EXIT
	trap 'exit 130' INT TERM
	push_config
	set_setting kernel.kptr_restrict 0
	# The test begins as if the module were not loaded.
	if is_builtin; then
		control drain
	fi
	forget_log
}

# need_module NAME... - skips the test if a module was not built.
need_module() {
	for name in "$@"; do
		case $name in bpf_pack | bpf_pack_test) ! is_builtin || continue ;; esac
		module "$name" >/dev/null || skip_all "$name.ko is not there"
	done
}

# need_tool NAME... - skips the test if a tool was not built.
need_tool() {
	for name in "$@"; do
		[ -x "$TOOLS/$name" ] || skip_all "$name was not built: run make"
	done
}

# skip_all REASON - ends the test here, as skipped.
skip_all() {
	FINISHED=1
	skip_case "$TEST" "$1"
	ktap_set_plan 1
	ktap_print_totals
	exit "$KSFT_SKIP"
}

# finish_test - the last call of every test: looks at the kernel's log, and prints the
# plan and the totals.
finish_test() {
	check "the kernel logged no complaint" log_is_clean
	FINISHED=1
	ktap_set_plan $((KTAP_TESTNO - 1))
	ktap_finished
}

# --- the machine -------------------------------------------------------------

# page_size - bytes of a base page.
page_size() {
	getconf PAGESIZE 2>/dev/null ||
		awk '/^KernelPageSize:/ { print $2 * 1024; exit }' /proc/self/smaps
}

# count_cpus - the number of CPUs that are online.
count_cpus() {
	grep -c '^processor' /proc/cpuinfo
}

# need_tracefs - TRACING is where tracefs is mounted; skips the test if it is nowhere.
need_tracefs() {
	TRACING=$(first_of /sys/kernel/tracing/trace /sys/kernel/debug/tracing/trace) ||
		skip_all "no tracefs"
	TRACING=${TRACING%/trace}
}
