# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Cases: each becomes one KTAP line "ok N TEST: DESCRIPTION". The reader of such a line
# may see no other, so that a description says by itself what was checked, and no two
# cases of a test have the same. functions.sh sources this file.

# comment - shows standard input as KTAP comments.
comment() {
	sed 's/^/# /'
}

# check DESCRIPTION COMMAND... - passes if COMMAND succeeds; shows its output if not.
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

# check_fails DESCRIPTION PATTERN COMMAND... - passes if COMMAND fails and its output
# matches PATTERN.
check_fails() {
	description=$1 pattern=$2
	shift 2
	if "$@" >"$WORK/check.log" 2>&1; then
		echo "succeeded: $*" >>"$WORK/check.log"
	elif grep -qiE "$pattern" "$WORK/check.log"; then
		ktap_test_pass "$TEST: $description"
		return
	fi
	ktap_test_fail "$TEST: $description"
	comment <"$WORK/check.log"
}

# skip_case DESCRIPTION REASON
skip_case() {
	case $1 in
	"$TEST") __ktap_test ok "$1" "SKIP $2" ;;
	*) __ktap_test ok "$TEST: $1" "SKIP $2" ;;
	esac
	KTAP_CNT_SKIP=$((KTAP_CNT_SKIP + 1))
}

# take_cases LABEL - reads KTAP lines and makes cases of this test of them. A tool
# that ended before it printed its totals is a failed case.
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

# loop_until COMMAND... - tries COMMAND until it succeeds; fails after 100 s, with the
# output of the last try. A guest on a busy machine is slow.
loop_until() {
	deadline=$(($(date +%s) + 100))
	until "$@" >"$WORK/try.log" 2>&1; do
		if [ "$(date +%s)" -ge "$deadline" ]; then
			cat "$WORK/try.log"
			return 1
		fi
		sleep 0.1
	done
}

# --- the kernel's log --------------------------------------------------------

# mark_log - writes a mark into the kernel's log.
mark_log() {
	MARKS=$((MARKS + 1))
	MARK="bpf_pack_selftest $$ $TEST mark $MARKS"
	echo "$MARK" >/dev/kmsg
}

# log_since_mark [MARK] - what the kernel logged after the last mark, or after another.
log_since_mark() {
	dmesg | awk -v mark="${1:-$MARK}" 'found { print } index($0, mark) { found = 1 }'
}

# log_says TEXT - the kernel logged TEXT after the last mark; shows everything if not.
log_says() {
	log_since_mark | grep -F "$1" || {
		log_since_mark
		return 1
	}
}

# forget_log - what was logged so far was looked at, and is no complaint.
forget_log() {
	mark_log
	START_MARK=$MARK
}

# complaints - what the kernel complained of since the test began, or since forget_log.
complaints() {
	log_since_mark "$START_MARK" | grep -E 'WARNING|BUG|Oops|Call trace|bpf_prog_pack bug|rcu: .*stall|soft lockup|Unable to handle'
}

# log_is_clean - the kernel logged no complaint since then.
log_is_clean() {
	! complaints
}
