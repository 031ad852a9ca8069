#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Classic programs, which everybody may load, do not use up the room near the kernel's
# text: they get one pack of it at most, and share that one with all others.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

PACK=2097152
INSNS=4096

start_test classic
need_tool hold_classic hold_progs
need_module bpf_pack

# far_bytes - bytes of live images in far packs.
far_bytes() {
	packs far | awk '{ sum += $6 } END { print sum + 0 }'
}

# first_image LABEL - the address of the first image of a hold_progs.
first_image() {
	held_images "$1" | sed -n '1s/ .*//p'
}

# not_with_classic LABEL - that image is in a pack that was not there before.
not_with_classic() {
	start=$(pack_of "$(first_image "$1")") || return
	echo "$start"
	! grep -q "^$start " "$WORK/classic"
}

check "net.core.optmem_max can be raised" set_setting net.core.optmem_max 4194304

check "insmod succeeds" load_pack retain_seconds=0
check "5 classic programs work" start_tool few_classic hold_classic 5 8
classic=$HOLDER
check "5 other programs work beside them" hold_start few --count 5
check "the 10 programs have 10 images in packs" loop_until images_are 10
check "the 10 programs share one pack" packs_are 1
check "the pack that they share is near" test "$(count_packs near)" -eq 1
check "the 5 other programs end, with right results" hold_stop "$HOLDER"
check "the 5 classic programs end, with right results" hold_stop "$classic"
check "no image of the 10 programs is left" loop_until images_are 0

check "a large classic program works" start_tool one hold_classic 1 "$INSNS"
each=$(status_value live_bytes)
check "the large classic program ends, with right results" hold_stop "$HOLDER"
check "no image of the large classic program is left" loop_until images_are 0
count=$((3 * PACK / (each > 0 ? each : PACK)))
echo "a classic program of $INSNS instructions takes $each bytes; $count of them" | comment
check "classic programs for three packs work" start_tool many hold_classic "$count" "$INSNS"
classic=$HOLDER
check "all classic programs for three packs are in packs" images_are "$count"
packs >"$WORK/classic"
comment <"$WORK/classic"
check "one pack of classic programs is near" test "$(count_packs near)" -eq 1
check "the other packs of classic programs are far" test "$(far_bytes)" -ge $((3 * PACK / 2))
# Its image is larger than any hole between theirs.
check "a large program that is not classic works" hold_start other --insns 40000
comment <"$HOLD_LOG"
check "that large program is near" pack_of "$(first_image other)" near
check "it shares no pack with classic programs" not_with_classic other
check "a small program that is not classic works" hold_start small --count 1
check "that small program is near" pack_of "$(first_image small)" near
check "the classic programs for three packs end, with right results" hold_stop "$classic"
for holder in $HOLDERS; do
	kill "$holder" 2>/dev/null || true
done
check "no image is left at last" loop_until images_are 0
check "one pack is left at last" loop_until packs_are 1
check "rmmod succeeds" unload_pack
finish_test
