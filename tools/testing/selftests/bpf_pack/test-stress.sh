#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# All CPUs load, run and free programs at once. Each program returns a number of its own,
# so that memory that is used again too early shows as a wrong number (I3, I4).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

ROUNDS=${ROUNDS:-400}

start_test stress
need_tool stress_progs hold_progs
need_module bpf_pack
workers=$((2 * $(count_cpus)))

served_all() {
	echo "images served: $(images_served), programs: $((workers * ROUNDS))"
	[ "$(images_served)" -ge $((workers * ROUNDS)) ]
}

check "attached programs work on the stock kernel" hold_start stock --count 5 --attach fentry --attach kprobe --attach tracepoint
check "insmod succeeds" load_pack
run_cases "$workers workers" "$TOOLS/stress_progs" --workers "$workers" --rounds "$ROUNDS"
check "packs served the programs of all workers" served_all
check "the module counts its books and finds them right" control check
check "the attached programs end, with right results all the time" hold_stop "$HOLDER"
check "no image is left" loop_until images_are 0
check "rmmod succeeds" unload_pack
finish_test
