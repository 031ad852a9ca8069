# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# The points at which the test build can make a step fail (rust/faults.rs). A test that
# uses them sources this file after functions.sh.

# list_faults - asks the test build for its points, which are then in $WORK/faults as
# lines "NUMBER NAME".
list_faults() {
	load_test_pack && sed -n 's/^\([0-9][0-9]* [a-z-]*\)$/\1/p' "$DEBUGFS/bpf_pack/faults" >"$WORK/faults" &&
		unload_pack && test -s "$WORK/faults"
}

# fault NAME - its number.
fault() {
	awk -v name="$1" '$2 == name { print $1; found = 1 } END { exit !found }' "$WORK/faults"
}

# arm_fault NAME [SKIP] - NAME fails from its passing number SKIP + 1 on.
arm_fault() {
	control "fault $(fault "$1") ${2:-0}"
}

# disarm_faults - nothing fails any more.
disarm_faults() {
	control "fault 0"
}

# faults_failed - how often the armed point has failed.
faults_failed() {
	sed -n 's/^armed: .*, failed: //p' "$DEBUGFS/bpf_pack/faults"
}
