#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The bytes charged against net.core.bpf_jit_limit are those that the stock kernel
# charges, and all of them are given back (I9).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test limit
need_tool jit_charge hold_progs run_progs
need_module bpf_pack
"$TOOLS/jit_charge" >"$WORK/charge" 2>&1 || skip_all "$(cat "$WORK/charge")"
start=$(cat "$WORK/charge")

SAMPLE='socket_filter fentry fexit freplace subprograms tail_calls struct_ops classic_socket
classic_seccomp over_64_KiB'

# charged_is BYTES - jit_charge, which measures from outside the module, says so.
charged_is() {
	loop_until charged_is_now "$1"
}

charged_is_now() {
	charged=$("$TOOLS/jit_charge") || return
	echo "charged: $charged, wanted: $1"
	[ "$charged" -eq "$1" ]
}

# measured - WORK/measured has the charge.
measured() {
	"$TOOLS/jit_charge" >"$WORK/measured"
}

status_agrees() {
	loop_until status_agrees_now
}

status_agrees_now() {
	measured=$("$TOOLS/jit_charge") || return
	echo "measured: $measured, status: $(status_value jit_charged_bytes)"
	[ "$measured" -eq "$(status_value jit_charged_bytes)" ]
}

hold_start stock --count 25
check "stock kernel: 25 programs are charged" test "$("$TOOLS/jit_charge")" -gt "$start"
check "the charge for 25 programs can be measured" loop_until measured
with_25=$(cat "$WORK/measured")
check "stock kernel: the 25 programs end, with right results" hold_stop "$HOLDER"
check "stock kernel: the charge for 25 programs is given back" charged_is "$start"

check "insmod succeeds" load_pack
check "insmod leaves the charge as it was" charged_is "$start"
check "25 programs work in packs" hold_start ours --count 25
check "25 programs in packs are charged what the stock kernel charges" charged_is "$with_25"
check "status shows the charge that is measured from outside" status_agrees
check "25 programs in packs end, with right results" hold_stop "$HOLDER"
check "the charge for 25 programs in packs is given back" charged_is "$start"
check "attached programs with trampolines work" hold_start attached --count 1 --attach fentry --attach kprobe --attach tracepoint
check "attached programs with trampolines end, with right results" hold_stop "$HOLDER"
check "the charge for attached programs is given back" charged_is "$start"
# shellcheck disable=SC2086 # a list of names
check "programs of many kinds work" "$TOOLS/run_progs" $SAMPLE
check "the charge for programs of many kinds is given back" charged_is "$start"
check "rmmod succeeds" unload_pack
check "rmmod leaves the charge as it was" charged_is "$start"

check "25 programs that outlive insmod are made" hold_start across --count 25
check "insmod succeeds while they live" load_pack
check "the programs that outlived insmod end, with right results" hold_stop "$HOLDER"
check "the charge for programs that outlived insmod is given back" charged_is "$start"
check "rmmod succeeds after them" unload_pack
finish_test
