#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Memory over which no traps could be written is never handed out again, as it may still
# hold an image (I2). The module stays with it: this test has to be the last of its guest.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/faults.sh
. "$DIR/shell/faults.sh"

start_test lost
need_tool run_progs
need_module bpf_pack_test

# lost - images that stay out of use.
lost() {
	status_value retiring_images
}

some_lost() {
	[ "$(lost)" -gt 0 ]
}

check "the test build lists the points" list_faults
mark_log
check "insmod succeeds" load_test_pack
check "the fault is armed" arm_fault traps
run_cases "no traps can be written" "$TOOLS/run_progs" socket_filter subprograms
check "the freed images stay out of use" loop_until some_lost
check "the log says so" log_says "they stay out of use"
check "the fault is disarmed" disarm_faults
before=$(lost)
run_cases "traps can be written again" "$TOOLS/run_progs" socket_filter subprograms classic_socket
check "all other images are freed" loop_until images_are 0
check "no other image is out of use" test "$(lost)" -eq "$before"
check "the books are right" control check
STAYS=1
check_fails "rmmod is refused" "$IN_USE" rmmod bpf_pack
finish_test
