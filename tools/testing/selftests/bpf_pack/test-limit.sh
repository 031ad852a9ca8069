#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What is charged against net.core.bpf_jit_limit is what the stock kernel would
# charge, to the byte, and comes back to where it was (I9).
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

# some_times COMMAND... - images are freed some time after their programs end, and a
# measurement, which takes a second or two, may be too early.
some_times() {
	for _ in 1 2 3 4 5; do
		if "$@"; then
			return
		fi
	done
	return 1
}

# charged_is BYTES - measured from outside the module.
charged_is() {
	some_times charged_is_now "$1"
}

charged_is_now() {
	charged=$("$TOOLS/jit_charge") || return
	echo "charged: $charged, wanted: $1"
	[ "$charged" -eq "$1" ]
}

status_agrees() {
	some_times status_agrees_now
}

status_agrees_now() {
	measured=$("$TOOLS/jit_charge") || return
	echo "measured: $measured, status: $(status_value jit_charged_bytes)"
	[ "$measured" -eq "$(status_value jit_charged_bytes)" ]
}

hold_start stock --count 25
check "25 programs of the stock allocator are charged" test "$("$TOOLS/jit_charge")" -gt "$start"
with_25=$("$TOOLS/jit_charge")
check "they end" hold_stop "$HOLDER"
check "the charge is back" charged_is "$start"

check "insmod" load_pack
check "the charge has not changed" charged_is "$start"
check "25 programs in packs" hold_start ours --count 25
check "they are charged what the stock kernel charges" charged_is "$with_25"
check "status agrees" status_agrees
check "they end" hold_stop "$HOLDER"
check "the charge is back again" charged_is "$start"
check "attached programs with trampolines" hold_start attached --count 1 --attach fentry --attach kprobe --attach tracepoint
check "they end too" hold_stop "$HOLDER"
check "the charge is back after them" charged_is "$start"
# shellcheck disable=SC2086 # a list of names
check "programs of many kinds" "$TOOLS/run_progs" $SAMPLE
check "the charge is back after many kinds" charged_is "$start"
check "rmmod" unload_pack
check "the charge is back without the module" charged_is "$start"

check "a program that lives across insmod" hold_start across --count 25
check "insmod after it" load_pack
check "it ends" hold_stop "$HOLDER"
check "the charge is back although another allocator made it" charged_is "$start"
check "rmmod again" unload_pack
finish_test
