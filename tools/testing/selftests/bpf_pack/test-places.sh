#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The first image of a pack is at a random place, and with randomize=1 every image is:
# the address of one tells little of where another is.
# RELOADS chooses how often the module is loaded to see the first image.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

RELOADS=${RELOADS:-10}
IMAGES=12
# Bytes of a pack.
PACK=2097152

start_test places
need_tool hold_progs
need_module bpf_pack

# places NAME - the place of each image of these programs in its pack, in bytes.
places() {
	held_images "$1" | while read -r address _; do
		echo $(($(number "$address") % PACK))
	done
}

# first_place - loads the module and one program, and adds the program's place to a list.
first_place() {
	# shellcheck disable=SC2119 # no parameters
	load_pack && hold_start first --count 1 && places first >>"$WORK/first" &&
		hold_stop "$HOLDER" && loop_until images_are 0 && unload_pack
}

first_places() {
	: >"$WORK/first"
	for _ in $(seq "$RELOADS"); do
		first_place || return
	done
}

# distinct FILE - how many different lines there are.
distinct() {
	sort -u "$1" | wc -l
}

# nearly_all_differ - of 4,096 places two of ten are seldom the same, and never many.
nearly_all_differ() {
	echo "places: $(tr '\n' ' ' <"$WORK/first")"
	[ "$(distinct "$WORK/first")" -ge $((RELOADS * 4 / 5)) ]
}

# are_scattered - few images are near the one before, as all of them are without
# randomize=1.
are_scattered() {
	places scattered | sort -n >"$WORK/scattered"
	echo "places: $(tr '\n' ' ' <"$WORK/scattered")"
	near=$(awk 'NR > 1 && $1 - last <= 512 { near++ } { last = $1 } END { print near + 0 }' "$WORK/scattered")
	[ "$(wc -l <"$WORK/scattered")" -eq "$IMAGES" ] && [ "$near" -le 2 ]
}

are_neighbours() {
	places packed | sort -n >"$WORK/packed"
	echo "places: $(tr '\n' ' ' <"$WORK/packed")"
	near=$(awk 'NR > 1 && $1 - last <= 512 { near++ } { last = $1 } END { print near + 0 }' "$WORK/packed")
	[ "$near" -ge $((IMAGES - 2)) ]
}

check "the module is loaded $RELOADS times, with a program each time" first_places
check "the first image is at another place each time" nearly_all_differ
echo "# $(distinct "$WORK/first") different places in $RELOADS loads"

check "insmod succeeds" load_pack
check "programs work" hold_start packed --count "$IMAGES"
check "all images but the first are side by side" are_neighbours
check "the programs end, with right results" hold_stop "$HOLDER"
check "no image is left" loop_until images_are 0
check "rmmod succeeds" unload_pack

check "randomize=1: insmod succeeds" load_pack randomize=1
check "randomize=1: programs work" hold_start scattered --count "$IMAGES"
check "randomize=1: the images are scattered" are_scattered
check "randomize=1: the module counts its books and finds them right" control check
check "randomize=1: the programs end, with right results" hold_stop "$HOLDER"
check "randomize=1: no image is left" loop_until images_are 0
check "randomize=1: rmmod succeeds" unload_pack
finish_test
