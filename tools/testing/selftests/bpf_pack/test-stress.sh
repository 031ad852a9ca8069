#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# All CPUs load, run and unload programs at once; each program returns its own
# number, so reuse of memory too early shows as a wrong one (I3, I4).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

ROUNDS=${ROUNDS:-400}

start_test stress
need_tool stress_progs hold_progs
need_module bpf_pack
workers=$((2 * $(grep -c '^processor' /proc/cpuinfo)))

served_all() {
	echo "images served: $(images_served), programs: $((workers * ROUNDS))"
	[ "$(images_served)" -ge $((workers * ROUNDS)) ]
}

check "programs are attached meanwhile" hold_start stock --count 5 --attach fentry --attach kprobe --attach tracepoint
check "insmod" load_pack
run_cases "$workers workers" "$TOOLS/stress_progs" --workers "$workers" --rounds "$ROUNDS"
check "packs served them" served_all
check "the books are right" control check
check "the attached programs end, right to the last" hold_stop "$HOLDER"
check "no image stayed behind" loop_until images_are 0
check "rmmod" unload_pack
finish_test
