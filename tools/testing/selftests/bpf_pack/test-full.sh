#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# When no more packs may be made, the stock allocator serves at once: nobody pays
# for another look, let alone for a synchronisation of all CPUs.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

PACK=2097152
PROGRAMS=60
# About 24 KiB: more than what the images of the keeper leave.
INSNS=2000

start_test full
need_tool hold_progs
need_module bpf_pack_test bpf_pack_keeper

# counts - remembers them, as ..._before.
counts() {
	stock_before=$(status_value to_stock_no_memory)
	syncs_before=$(status_value synchronisations)
	finals_before=$(status_value images_finalized)
	made_before=$(status_value regions_made)
}

# more KEY BEFORE - how many more since.
more() {
	echo $(($(status_value "$1") - $2))
}

# few_syncs - as many as images that were finalized, and a few of the background.
few_syncs() {
	syncs=$(more synchronisations "$syncs_before")
	finals=$(more images_finalized "$finals_before")
	echo "synchronisations: $syncs, images finalized: $finals"
	[ "$syncs" -le $((finals + PROGRAMS / 6)) ]
}

no_more_packs() {
	echo "packs: $(status_value packs), made: $(more regions_made "$made_before")"
	[ "$(more regions_made "$made_before")" -eq 0 ]
}

served_again() {
	served=$(images_served)
	"$TOOLS/hold_progs" --count 5 >"$WORK/again" 2>&1 &
	again=$!
	loop_until grep -q '^ready' "$WORK/again" && hold_stop "$again" &&
		[ "$(images_served)" -ge $((served + 5)) ]
}

check "insmod" load_test_pack max_packs=2 retain_seconds=0
mark_log
# Room for small programs stays, but not for large ones.
check "two packs are filled" keep 4 $((PACK / 2 - 4096))
check "every image was served" test "$(kept)" -eq 4
check "there are two packs" test "$(status_value packs)" -eq 2
check "a small program still fits" hold_start small --count 1
check "it is served" images_are 5
check "it ends, and its memory waits for the CPUs" hold_stop "$HOLDER"

counts
check "$PROGRAMS large programs work" hold_start large --count "$PROGRAMS" --insns "$INSNS"
# Small ones come, too: libbpf tries what the kernel can.
check "none of them is in a pack" loop_until images_are 4
check "status counts each" test "$(more to_stock_no_memory "$stock_before")" -ge "$PROGRAMS"
check "they did not synchronise all CPUs" few_syncs
check "nor make packs" no_more_packs
check "they end, right to the last" hold_stop "$HOLDER"

counts
check "$PROGRAMS large programs work, with a small one that ends before each" \
	hold_start between --count "$PROGRAMS" --insns "$INSNS" --between
check "small ones were served" test "$(more images_finalized "$finals_before")" -gt 0
check "none of the large ones is in a pack" loop_until images_are 4
check "status counts each large one" \
	test "$(more to_stock_no_memory "$stock_before")" -ge "$PROGRAMS"
check "they did not synchronise all CPUs, with memory waiting for it" few_syncs
check "nor make packs, either" no_more_packs
check "these end, right to the last, too" hold_stop "$HOLDER"

check "the images leave" keep_no_more
sleep 2
check "programs are served again" served_again
check "rmmod" unload_pack
finish_test
