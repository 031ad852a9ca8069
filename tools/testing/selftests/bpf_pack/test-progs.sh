#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Programs of all kinds give the right results and lie in 2 MiB packs (I7: the memory of
# the XDP dispatcher does not). With the argument "stock", the same programs run without
# the module and lie in base pages.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

expect=${1:-pack}
start_test "progs"
need_tool run_progs
need_module bpf_pack
load_walk || skip_case "where the images lie" "bpf_pack_ptwalk does not load"

# to_stock - the counters of images that went to the stock allocator, but for memory of the XDP
# dispatcher, which is no image.
to_stock() {
	status_keys to_stock_ | grep -v dispatcher
}

# all_served - none of them has grown. A module that is built in counts since the boot.
all_served() {
	to_stock | diff "$WORK/to_stock" -
}

if [ "$expect" = pack ]; then
	check "insmod succeeds" load_pack
	to_stock >"$WORK/to_stock"
fi
run_cases "expect $expect" "$TOOLS/run_progs" --expect "$expect"
if [ "$expect" = pack ]; then
	check "no image went to the stock allocator" all_served
	check "no image is left" loop_until images_are 0
	check "rmmod succeeds" unload_pack
fi
finish_test
