#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The leaves of the linear map before, with and after packs: the module splits no block of it,
# and all leaves are back when the packs are gone (I18). A table compares that with the stock
# allocator, on memory as it is and on fragmented memory.
#
# Most CPU models have a linear map of base pages, with nothing to split; scripts/test has a
# suite with one that has blocks (arm64_bbml3).
#
#   LINEAR_PACKS   numbers of packs (default 1,10)
#   LINEAR_LONG    anything: fragmented memory, too, and packs of small leaves
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/attacks.sh
. "$DIR/shell/attacks.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/linear.sh
. "$DIR/shell/linear.sh"

LINEAR_PACKS=$(echo "${LINEAR_PACKS:-1,10}" | tr , ' ')
LINEAR_LONG=${LINEAR_LONG:-}
# An image that leaves no room for another one in its pack.
IMAGE=2000000
BLOCK=2097152

start_test linear
need_module bpf_pack bpf_pack_test bpf_pack_attacker bpf_pack_ptwalk
[ "$(page_size)" -eq 4096 ] || skip_all "a pack is smaller than a block of the linear map"

# no_more_split BYTES NAME NAME - in the second there are not more split blocks of this size. (A
# block that was split before and is now in a pack has no valid leaf: there may be fewer.)
no_more_split() {
	diff -u "$WORK/linear.$2" "$WORK/linear.$3" || true
	[ "$(split "$2" "$1")" -ge "$(split "$3" "$1")" ]
}

# small_leaves NAME - the lines of leaves of less than 2 MiB.
small_leaves() {
	grep -E '^leaf="[0-9]+ KiB' "$WORK/linear.$1"
}

# same_small_leaves NAME NAME
same_small_leaves() {
	small_leaves "$1" >"$WORK/small.before"
	small_leaves "$2" | diff -u "$WORK/small.before" -
}

# change FUNCTION ARGUMENT - a number "before to after", or one if they are the same.
change() {
	before=$("$1" before "$2") after=$("$1" after "$2")
	[ "$before" -eq "$after" ] && echo "$before" || echo "$before to $after"
}

# row SIDE MEMORY PACKS - of the table.
row() {
	echo "$1 | $2 | $3 | $(change leaves '') | $(change split $BLOCK) |" \
		"$(change leaves '32 MiB contiguous') | $(change leaves '1 GiB block')" >>"$WORK/table"
}

# make_packs COUNT - by the way of the kernel's JIT, which the module redirects.
make_packs() {
	: >"$WORK/images"
	made=0
	while [ "$made" -lt "$1" ]; do
		attack alloc "$IMAGE" >>"$WORK/images" || return
		made=$((made + 1))
	done
	cat "$WORK/images"
	[ "$(grep -c '^0xffff' "$WORK/images")" -eq "$1" ]
}

free_packs() {
	while read -r image; do
		attack free "$image" "$IMAGE" >/dev/null || return
	done <"$WORK/images"
}

# are_blocks - each pack of the module is one block.
are_blocks() {
	! packs | grep -v ' 2 MiB block$'
}

# no_packs - true if the module has given all of them back.
no_packs() {
	packs_are 0
}

# measure SIDE MEMORY PACKS
measure() {
	what="$1, $2 memory, $3 packs"
	check "$what: the linear map can be read before" count_leaves before
	[ "$1" = stock ] || check "$what: the module serves" control serve
	check "$what: they are made" make_packs "$3"
	if [ "$1" = module ]; then
		check "$what: the module has them" test "$(status_value packs)" -ge "$3"
		packs >"$WORK/packs"
		blocks=''
		! are_blocks >/dev/null || blocks=1
	fi
	check "$what: the linear map can be read with them" count_leaves with
	check "$what: they are freed" free_packs
	if [ "$1" = module ]; then
		check "$what: the module gives them back" control drain
		check "$what: the module has no pack" loop_until no_packs
	fi
	check "$what: the linear map can be read after" count_leaves after
	row "$@"
	[ "$1" = module ] || return 0
	if [ -z "$blocks" ]; then
		# A smaller leaf cannot leave the block whole, nor can the pages of the stock allocator.
		skip_case "$what: no block of the linear map is split" "the kernel had no blocks for packs"
		return 0
	fi
	check "$what: no 2 MiB block of the linear map is split while they are there" \
		no_more_split "$BLOCK" before with
	check "$what: no 2 MiB block of the linear map is split after" no_more_split "$BLOCK" before after
	check "$what: all leaves of less than 2 MiB are as before" same_small_leaves before after
}

# measure_all SIDE MEMORY
measure_all() {
	for packs in $LINEAR_PACKS; do
		measure "$1" "$2" "$packs"
	done
}

# measure_module MEMORY [PARAMETER=VALUE]...
measure_module() {
	memory=$1
	shift
	check "insmod succeeds: $memory memory" load_test_pack retain_seconds=0 "$@"
	check "the module gives its first pack back: $memory memory" control drain
	check "the module has no pack at first: $memory memory" loop_until no_packs
	measure_all module "$memory"
	check "rmmod succeeds: $memory memory" unload_pack
}

echo 'side | memory | packs | leaves | split 2 MiB blocks | 32 MiB runs | 1 GiB blocks' >"$WORK/table"
check "insmod of the page-table walker succeeds" load_walk
check "insmod of the attacker succeeds" insmod "$(module bpf_pack_attacker)"
measure_module fresh
[ -z "$LINEAR_LONG" ] || {
	check "memory becomes fragmented" fragment
	measure_module fragmented
	check "memory is whole again" defragment
}
measure_all stock fresh
[ -z "$LINEAR_LONG" ] || {
	check "memory becomes fragmented again" fragment
	measure_all stock fragmented
	check "memory is whole again at the end" defragment
	measure_module "no 2 MiB leaves in" leaf=1
}
comment <"$WORK/table"
finish_test
