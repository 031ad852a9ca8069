#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Programs made before insmod keep working while the module is there, and are
# freed to the stock allocator, which made them (I5).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test before
need_tool hold_progs run_progs
need_module bpf_pack

# The trampoline of a program that stays gets a new image whenever another one
# attaches to the same function; that image is made by whoever serves then.
shares_trampoline() {
	"$TOOLS/run_progs" fentry kprobe tracepoint
}

check "programs are made on the stock kernel" hold_start old --count 20 --attach
old=$HOLDER
check "programs that go before the module" hold_start early --count 20
early=$HOLDER
load_walk || true
check "insmod" load_pack
check "none of their images is ours" live_is 0
check "some end while the module is there, right to the last" hold_stop "$early"
sleep 1
check "freeing them changes none of our counters" live_is 0
freed=$(status_value 'images freed')
check "others attach to the same functions" shares_trampoline
check "the old ones end, right to the last" hold_stop "$old"
check "images freed later are those served" loop_until live_is 0
check "images were freed since" test "$(status_value 'images freed')" -gt "$freed"
check "new programs are served" hold_start new --count 3
check "3 images live" live_is 3
check "they end" hold_stop "$HOLDER"
check "rmmod" unload_pack
check "programs after rmmod" hold_start late --count 3 --attach
check "they end too" hold_stop "$HOLDER"
finish_test
