#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# When the module may make no more packs, the stock allocator serves at once: a refused
# load costs no synchronisation of all CPUs (I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

PACK=2097152
PROGRAMS=60
# About 24 KiB: more than the images of the keeper leave free.
INSNS=2000

start_test full
need_tool hold_progs
need_module bpf_pack_test bpf_pack_keeper

# counts - remembers the counters in variables ..._before.
counts() {
	stock_before=$(status_value to_stock_full)
	memory_before=$(status_value to_stock_no_memory)
	syncs_before=$(status_value synchronisations)
	finals_before=$(status_value images_finalized)
	made_before=$(status_value regions_made)
	started=$(date +%s)
}

# more KEY BEFORE - by how much a counter grew.
more() {
	echo $(($(status_value "$1") - $2))
}

# few_syncs - one synchronisation for each image finalized, and those of the background,
# at most one a second. A module that synchronises at each refusal makes PROGRAMS more.
few_syncs() {
	syncs=$(more synchronisations "$syncs_before")
	finals=$(more images_finalized "$finals_before")
	echo "synchronisations: $syncs, images finalized: $finals, seconds: $seconds"
	[ "$syncs" -le $((finals + seconds + PROGRAMS / 6)) ]
}

# check_syncs DESCRIPTION - checks that, unless so much time went by that the background
# may have synchronised as often as a module would at each refusal.
check_syncs() {
	seconds=$(($(date +%s) - started))
	if [ "$seconds" -gt $((PROGRAMS / 2)) ]; then
		skip_case "$1" "it took $seconds s"
	else
		check "$1" few_syncs
	fi
}

no_more_packs() {
	echo "packs: $(status_value packs), made: $(more regions_made "$made_before")"
	[ "$(more regions_made "$made_before")" -eq 0 ]
}

served_again() {
	served=$(images_served)
	hold_start again --count 5 && hold_stop "$HOLDER" &&
		[ "$(images_served)" -ge $((served + 5)) ]
}

check "insmod succeeds" load_test_pack max_packs=2 retain_seconds=0 origin=0
mark_log
# Room for small programs stays, but not for large ones.
check "4 large images fill 2 packs" keep 4 $((PACK / 2 - 4096))
check "packs served each of the 4 large images" test "$(kept)" -eq 4
check "there are 2 packs" packs_are 2
check "a small program works beside the large images" hold_start small --count 1
check "the small program is in a pack" loop_until images_are 5
check "the small program ends, with right results" hold_stop "$HOLDER"

counts
check "packs full: $PROGRAMS large programs work" hold_start large --count "$PROGRAMS" --insns "$INSNS"
# libbpf loads small programs, too, to see what the kernel can.
check "packs full: no large program is in a pack" loop_until images_are 4
check "packs full: status counts each large program" test "$(more to_stock_full "$stock_before")" -ge "$PROGRAMS"
check "packs full: status does not call that a lack of memory" test "$(more to_stock_no_memory "$memory_before")" -eq 0
check_syncs "packs full: large programs did not synchronise all CPUs"
check "packs full: large programs made no packs" no_more_packs
check "packs full: the large programs end, with right results" hold_stop "$HOLDER"

counts
check "memory retired: $PROGRAMS large programs work, with a small one that ends before each" \
	hold_start between --count "$PROGRAMS" --insns "$INSNS" --between
check "memory retired: packs served small programs" test "$(more images_finalized "$finals_before")" -gt 0
check "memory retired: no large program is in a pack" loop_until images_are 4
check "memory retired: status counts each large program" \
	test "$(more to_stock_full "$stock_before")" -ge "$PROGRAMS"
check_syncs "memory retired: large programs did not synchronise all CPUs"
check "memory retired: large programs made no packs" no_more_packs
check "memory retired: the large programs end, with right results" hold_stop "$HOLDER"

check "the 4 large images are freed" keep_no_more
sleep 2
check "packs serve programs after the large images are freed" served_again
check "rmmod succeeds" unload_pack
finish_test
