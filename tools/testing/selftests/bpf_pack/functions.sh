# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Shell functions for the tests here, for any POSIX shell with busybox or GNU
# tools. A test sources this file, calls start_test, then check, check_fails,
# run_cases and skip_case for each of its cases, and ends with finish_test.

export LC_ALL=C

DIR=$(cd "$(dirname "$0")" && pwd)
DEBUGFS=/sys/kernel/debug
STATUS=$DEBUGFS/bpf_pack/status
CONTROL=$DEBUGFS/bpf_pack/control
# shellcheck disable=SC2034 # some tests use it
WALK=$DEBUGFS/bpf_pack_ptwalk

# first_of FILE... - the first one that exists; fails where none does.
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

# module NAME - the path of NAME.ko, in MODULE_DIR where that is set.
module() {
	first_of "${MODULE_DIR:-}/$1.ko" "$DIR/$1.ko" "$BUILT/module/arm64/$1.ko"
}

# comment - shows standard input as KTAP comments.
comment() {
	sed 's/^/# /'
}

# --- set-up and clean-up -----------------------------------------------------

SAVED_SETTINGS='kernel.kptr_restrict net.core.bpf_jit_harden net.core.bpf_jit_limit
net.core.optmem_max kernel.ftrace_enabled'

# setting NAME - where the kernel keeps a sysctl.
setting() {
	echo "/proc/sys/$(echo "$1" | tr . /)"
}

# set_setting NAME VALUE - as sysctl does it, with the kernel's own error.
set_setting() {
	echo "$2" >"$(setting "$1")"
}

push_config() {
	for name in $SAVED_SETTINGS; do
		if [ -e "$(setting "$name")" ]; then
			cat "$(setting "$name")" >"$WORK/setting.$name"
		fi
	done
}

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
	for name in bpf_pack_keeper bpf_pack_watch bpf_pack_holder; do
		if is_loaded "$name"; then
			rmmod "$name" || true
		fi
	done
	if is_loaded bpf_pack && ! unload_pack >"$WORK/unload.log" 2>&1; then
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

# start_test NAME - what every test does first.
start_test() {
	TEST=$1 FINISHED='' HOLDERS='' MARKS=0
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
	mark_log
}

# need_module NAME... - skips the whole test where a module was not built.
need_module() {
	for name in "$@"; do
		module "$name" >/dev/null || skip_all "$name.ko is not there"
	done
}

# need_tool NAME... - skips the whole test where a program of ours was not built.
need_tool() {
	for name in "$@"; do
		[ -x "$TOOLS/$name" ] || skip_all "$name was not built: run make"
	done
}

# skip_all REASON
skip_all() {
	FINISHED=1
	skip_case "$TEST" "$1"
	ktap_set_plan 1
	ktap_print_totals
	exit "$KSFT_SKIP"
}

# finish_test - the plan and the totals; the kernel's log is the last case.
finish_test() {
	check "the kernel did not complain" log_is_clean
	FINISHED=1
	ktap_set_plan $((KTAP_TESTNO - 1))
	ktap_finished
}

# --- cases -------------------------------------------------------------------

# check DESCRIPTION COMMAND... - passes where COMMAND does; its output is shown
# where it does not.
check() {
	description=$1
	shift
	if "$@" >"$WORK/check.log" 2>&1; then
		ktap_test_pass "$TEST: $description"
	else
		ktap_test_fail "$TEST: $description"
		{
			echo "failed: $*"
			cat "$WORK/check.log"
		} | comment
	fi
}

# check_fails DESCRIPTION PATTERN COMMAND... - passes where COMMAND fails and
# says something that matches PATTERN.
check_fails() {
	description=$1 pattern=$2
	shift 2
	if "$@" >"$WORK/check.log" 2>&1; then
		echo "succeeded: $*" >>"$WORK/check.log"
		ktap_test_fail "$TEST: $description"
		comment <"$WORK/check.log"
	elif grep -qiE "$pattern" "$WORK/check.log"; then
		ktap_test_pass "$TEST: $description"
	else
		ktap_test_fail "$TEST: $description"
		comment <"$WORK/check.log"
	fi
}

# skip_case DESCRIPTION REASON
skip_case() {
	case $1 in
	"$TEST"*) __ktap_test ok "$1" "SKIP $2" ;;
	*) __ktap_test ok "$TEST: $1" "SKIP $2" ;;
	esac
	KTAP_CNT_SKIP=$((KTAP_CNT_SKIP + 1))
}

# take_cases LABEL - reads KTAP lines and makes cases of this test of them. A
# tool that died before its totals is a failed case.
take_cases() {
	complete=''
	while IFS= read -r line; do
		name=${line#*ok }
		name=${name#* }
		name=${name#- }
		case $line in
		"ok "*"# SKIP"*) skip_case "$1: ${name%% # SKIP*}" "${name##*# SKIP }" ;;
		"ok "*) ktap_test_pass "$TEST: $1: $name" ;;
		"not ok "*) ktap_test_fail "$TEST: $1: $name" ;;
		"# Totals:"*) complete=1 ;;
		*"skipped test(s) detected"*) ;;
		"#"*) echo "$line" ;;
		"Bail out!"*) echo "# $line" ;;
		esac
	done
	if [ -z "$complete" ]; then
		ktap_test_fail "$TEST: $1: ended early"
	fi
}

# run_cases LABEL COMMAND... - runs a tool that prints KTAP.
run_cases() {
	label=$1
	shift
	"$@" >"$WORK/cases.log" 2>&1 || true
	take_cases "$label" <"$WORK/cases.log"
}

# loop_until COMMAND... - tries until it succeeds; fails after 30 s, with the
# output of the last try.
loop_until() {
	tries=0
	until "$@" >"$WORK/try.log" 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 300 ]; then
			cat "$WORK/try.log"
			return 1
		fi
		sleep 0.1
	done
}

# --- the kernel's log --------------------------------------------------------

# mark_log - what is logged from here on counts.
mark_log() {
	MARKS=$((MARKS + 1))
	MARK="bpf_pack_selftest $$ $TEST mark $MARKS"
	echo "$MARK" >/dev/kmsg
}

# log_since_mark
log_since_mark() {
	dmesg | awk -v mark="$MARK" 'found { print } index($0, mark) { found = 1 }'
}

log_is_clean() {
	! log_since_mark | grep -E 'WARNING|BUG|Oops|Call trace|bpf_prog_pack bug|rcu: .*stall|soft lockup|Unable to handle'
}

# --- the machine -------------------------------------------------------------

# page_size - bytes of a base page.
page_size() {
	getconf PAGESIZE 2>/dev/null ||
		awk '/^KernelPageSize:/ { print $2 * 1024; exit }' /proc/self/smaps
}

# --- bpf_pack ----------------------------------------------------------------

is_loaded() {
	grep -q "^$1 " /proc/modules
}

# load_pack [PARAMETER=VALUE]...
load_pack() {
	insmod "$(module bpf_pack)" "$@"
}

# load_test_pack [PARAMETER=VALUE]... - the build with parameters for tests. It
# is the same module, under the same name.
load_test_pack() {
	insmod "$(module bpf_pack_test)" "$@"
}

# unload_pack - waits for images whose freeing is still under way, and has the
# module count its books again.
unload_pack() {
	loop_until images_are 0 && control check && loop_until rmmod bpf_pack
}

load_walk() {
	is_loaded bpf_pack_ptwalk || insmod "$(module bpf_pack_ptwalk)"
}

# status_value KEY - the number after "KEY:" in the status file. With
# placement.c the only place that knows its format.
status_value() {
	awk -v key="$1" '
		{ line = $0; sub(/^[ \t]+/, "", line) }
		index(line, key) == 1 && substr(line, length(key) + 1) ~ /^[ \t]*:/ {
			sub(/^[^:]*:[ \t]*/, "", line)
			print line + 0
			found = 1
			exit
		}
		END { exit !found }' "$STATUS"
}

images_served() {
	status_value images_served
}

# images_are N - true where exactly N images are in packs; prints how many are.
images_are() {
	echo "images: $(status_value images), wanted: $1"
	[ "$(status_value images)" -eq "$1" ]
}

control() {
	echo "$1" >"$CONTROL"
}

# packs_that_are WORD - how many packs are of a place: near or far.
packs_that_are() {
	grep -c "^pack 0x.*, $1, " "$STATUS" || true
}

# number ADDRESS - a kernel address without its top 16 bits, in decimal: every
# shell can count with that.
number() {
	digits=${1#0x}
	echo $((0x${digits#ffff}))
}

# pack_of ADDRESS - what status says of the pack that an address is in.
pack_of() {
	wanted=$(number "$1")
	sed -n 's/^pack 0x\([0-9a-f]*\)-0x\([0-9a-f]*\): /\1 \2 &/p' "$STATUS" |
		while read -r start end line; do
			if [ "$wanted" -ge "$(number "$start")" ] && [ "$wanted" -lt "$(number "$end")" ]; then
				echo "$line"
			fi
		done
}

# keep COUNT SIZE - images that stay until keep_no_more.
keep() {
	insmod "$(module bpf_pack_keeper)" count="$1" size="$2"
}

keep_no_more() {
	rmmod bpf_pack_keeper
}

# kept - how many images the last keep got.
kept() {
	log_since_mark | sed -n 's/.*bpf_pack_keeper: keeps \([0-9]*\) of .*/\1/p' | tail -n 1
}

# --- programs that stay ------------------------------------------------------

# start_tool LABEL TOOL ARGUMENT... - runs a program of ours in the background
# until it says that it is ready; HOLDER is its process, HOLD_LOG what it prints.
start_tool() {
	HOLD_LOG=$WORK/hold.$1 tool=$2
	shift 2
	"$TOOLS/$tool" "$@" >"$HOLD_LOG" 2>&1 &
	HOLDER=$!
	HOLDERS="$HOLDERS $HOLDER"
	loop_until grep -q '^ready' "$HOLD_LOG"
}

# hold_start LABEL ARGUMENT... - programs that run until hold_stop.
hold_start() {
	label=$1
	shift
	start_tool "$label" hold_progs "$@"
}

# hold_stop PROCESS - ends it; its exit status says whether every program gave
# the right result every time.
hold_stop() {
	kill -TERM "$1"
	wait "$1"
}
