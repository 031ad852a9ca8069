#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Programs of all kinds give the right results and lie in 2 MiB packs. With the
# argument "stock", the same programs without the module: in base pages.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

expect=${1:-pack}
start_test "progs"
need_tool run_progs
need_module bpf_pack
load_walk || skip_case "placement" "bpf_pack_ptwalk does not load"

nothing_left() {
	loop_until images_are 0
}

# What the XDP dispatcher gets is no image.
nothing_fell_through() {
	grep '^to_stock_' "$STATUS"
	! grep '^to_stock_' "$STATUS" | grep -v dispatcher | grep -qv ': 0$'
}

if [ "$expect" = pack ]; then
	check "insmod" load_pack
fi
run_cases "$expect" "$TOOLS/run_progs" --expect "$expect"
if [ "$expect" = pack ]; then
	check "no image went to the stock allocator" nothing_fell_through
	check "no image stayed behind" nothing_left
	check "rmmod" unload_pack
fi
finish_test
