#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Near the kernel's text there are as many packs as there is room for, and as the
# parameter allows; the others stand side by side elsewhere.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

# More than the room near the kernel ever holds.
IMAGES=150
PACK=2097152
REACH=134217728

start_test near
need_module bpf_pack bpf_pack_keeper

# symbol NAME - where a symbol of the kernel is, as number() gives it.
symbol() {
	number "$(awk -v name="$1" '$3 == name && !$4 { print $1; exit }' /proc/kallsyms)"
}

# areas - "START END" of each area of vmalloc space, also of those that wait to be
# unmapped, and of the kernel. The kernel only shows addresses at this setting.
areas() {
	set_setting kernel.kptr_restrict 1
	sed -n 's/^0x\([0-9a-f]*\)-0x\([0-9a-f]*\) .*/\1 \2/p' /proc/vmallocinfo
	awk '!$4 && $3 == "_text" { start = $1 } !$4 && $3 == "_end" { end = $1 }
		END { print start, end }' /proc/kallsyms
	set_setting kernel.kptr_restrict 0
}

# free_slots - how many aligned pieces of 2 MiB are free within reach of all of
# the kernel's text.
free_slots() {
	from=$((($(symbol _etext) - REACH + PACK - 1) / PACK * PACK))
	slots=$((($(symbol _stext) + REACH - from) / PACK))
	areas >"$WORK/areas"
	while read -r start end; do
		start=$((0x${start#ffff} - from)) end=$((0x${end#ffff} - from))
		[ "$start" -ge 0 ] || start=0
		[ "$end" -le $((slots * PACK)) ] || end=$((slots * PACK))
		[ "$start" -lt "$end" ] || continue
		slot=$((start / PACK))
		while [ $((slot * PACK)) -lt "$end" ]; do
			echo "$slot"
			slot=$((slot + 1))
		done
	done <"$WORK/areas" | sort -u >"$WORK/taken"
	echo $((slots - $(wc -l <"$WORK/taken")))
}

# gaps - how often a far pack does not begin where another one ends.
gaps() {
	sed -n '/, far, /s/^pack 0x\([0-9a-f]*\)-0x\([0-9a-f]*\): .*/\1 \2/p' "$STATUS" | sort |
		awk '$1 != end { gaps++ } { end = $2 } END { print gaps + 0 }'
}

packs_are() {
	echo "packs: $(status_value packs), wanted: $1"
	[ "$(status_value packs)" -eq "$1" ]
}

# at_least NUMBER WHAT IS - IS is not less.
at_least() {
	echo "$2: $3, wanted: $1 or more"
	[ "$3" -ge "$1" ]
}

check "insmod" load_pack near_packs=128 retain_seconds=0
check "a pack is at hand before anybody asks" packs_are 1
mark_log
check "it becomes nearly full" keep 29 65536
check "another one is made ahead of need" loop_until packs_are 2
check "nothing is in it" test "$(status_value empty_packs)" -eq 1
check "the images leave" keep_no_more
check "one pack stays at hand" loop_until packs_are 1
already=$(packs_that_are near)
free=$(free_slots)
echo "room near the kernel is free for $free packs, and there for $already" | comment
check "room for more than 64 packs" at_least 65 "free slots" "$free"
mark_log
check "$IMAGES packs are filled" keep "$IMAGES" "$PACK"
check "every image was served" test "$(kept)" -eq "$IMAGES"
near=$(packs_that_are near) far=$(packs_that_are far)
echo "$near packs near, $far far, in $(gaps) pieces" | comment
# Others may take one in between.
check "all the room near the kernel is used" at_least $((free + already - 2)) "near packs" "$near"
check "that is more than 64" at_least 65 "near packs" "$near"
check "the others are far" at_least $((IMAGES - near)) "far packs" "$far"
check "every pack is either" test $((near + far)) -eq "$(status_value packs)"
check "the far ones stand side by side" test "$(gaps)" -le 3
check "all images leave" keep_no_more
check "the packs are given back but for one" loop_until packs_are 1
check "rmmod" unload_pack

# The parameter's own bound comes first.
check "near_packs=3: insmod" load_pack near_packs=3 retain_seconds=0
check "near_packs=3: packs are filled" keep 6 "$PACK"
check "near_packs=3: so many are near" test "$(packs_that_are near)" -eq 3
check "near_packs=3: the others are far" at_least 3 "far packs" "$(packs_that_are far)"
check "near_packs=3: the images leave" keep_no_more
check "near_packs=3: rmmod" unload_pack

check "near_packs=0: insmod" load_pack near_packs=0 retain_seconds=0
check "near_packs=0: packs are filled" keep 6 "$PACK"
check "near_packs=0: none is near" test "$(packs_that_are near)" -eq 0
check "near_packs=0: all are far" at_least 6 "far packs" "$(packs_that_are far)"
check "near_packs=0: the images leave" keep_no_more
check "near_packs=0: rmmod" unload_pack
finish_test
