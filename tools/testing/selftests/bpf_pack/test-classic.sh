#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Classic programs, which everybody may load, do not use up the room near the
# kernel's text: they get one pack of it at most, which they share.
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
	sed -n 's/^pack 0x.*, far, .* bytes: \([0-9]*\) live.*/\1/p' "$STATUS" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# image_is_in WORD - the image of the program held last is in a pack of this kind.
image_is_in() {
	address=$(sed -n 's/^image \(0x[0-9a-f]*\) .*/\1/p' "$HOLD_LOG" | head -n 1)
	pack_of "$address"
	pack_of "$address" | grep -q ", $1, "
}

# not_with_classic - it is in none of the packs that were there before.
not_with_classic() {
	range=$(pack_of "$address" | sed 's/:.*//')
	echo "$range"
	[ -n "$range" ] && ! grep -q "^$range:" "$WORK/classic"
}

packs_are() {
	echo "packs: $(status_value packs), wanted: $1"
	[ "$(status_value packs)" -eq "$1" ]
}

check "net.core.optmem_max is raised" set_setting net.core.optmem_max 4194304

check "insmod" load_pack retain_seconds=0
check "a few classic programs" start_tool few_classic hold_classic 5 8
classic=$HOLDER
check "a few others" hold_start few --count 5
check "they are served" loop_until images_are 10
check "in one pack" packs_are 1
check "which is near" test "$(packs_that_are near)" -eq 1
check "the others end" hold_stop "$HOLDER"
check "the classic ones end, right to the last" hold_stop "$classic"
check "nothing stays" loop_until images_are 0

check "one large classic program" start_tool one hold_classic 1 "$INSNS"
each=$(status_value live_bytes)
check "it ends" hold_stop "$HOLDER"
check "it is gone" loop_until images_are 0
count=$((3 * PACK / (each > 0 ? each : PACK)))
echo "a classic program of $INSNS instructions takes $each bytes; $count of them" | comment
check "so many that they need three packs" start_tool many hold_classic "$count" "$INSNS"
classic=$HOLDER
check "all are served" images_are "$count"
grep '^pack 0x' "$STATUS" >"$WORK/classic"
comment <"$WORK/classic"
check "one pack of them is near" test "$(packs_that_are near)" -eq 1
check "the others are far" test "$(far_bytes)" -ge $((3 * PACK / 2))
# Larger than any hole that they left.
check "another program comes" hold_start other --insns 40000
comment <"$HOLD_LOG"
check "it is near" image_is_in near
check "in a pack that it does not share with them" not_with_classic
check "a small one comes" hold_start small --count 1
check "it is near, too" image_is_in near
check "the classic ones end, right to the last, too" hold_stop "$classic"
for holder in $HOLDERS; do
	kill "$holder" 2>/dev/null || true
done
check "nothing stays of any" loop_until images_are 0
check "no pack but one stays" loop_until packs_are 1
check "rmmod" unload_pack
finish_test
