#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# As many packs are near the kernel's text as there is room for and as near_packs allows;
# the others stand side by side elsewhere. One pack with room is always there.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

# More packs than there is ever room for near the kernel.
IMAGES=150
PACK=2097152
REACH=134217728

start_test near
need_module bpf_pack bpf_pack_keeper

# symbol NAME - the address of a symbol of the kernel, as number() gives it.
symbol() {
	number "$(awk -v name="$1" '$3 == name && !$4 { print $1; exit }' /proc/kallsyms)"
}

# areas - "START END" of the kernel and of each area of vmalloc space, also of those that
# wait to be unmapped. vmallocinfo shows addresses only with kptr_restrict=1.
areas() {
	set_setting kernel.kptr_restrict 1
	sed -n 's/^0x\([0-9a-f]*\)-0x\([0-9a-f]*\) .*/\1 \2/p' /proc/vmallocinfo
	awk '!$4 && $3 == "_text" { start = $1 } !$4 && $3 == "_end" { end = $1 }
		END { print start, end }' /proc/kallsyms
	set_setting kernel.kptr_restrict 0
}

# free_slots - the number of free aligned 2 MiB of addresses within branch range of all
# kernel text.
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

# gaps - the number of far packs that do not begin at the end of another one.
gaps() {
	packs far | sort |
		awk '$1 != end { gaps++ } { end = $2 } END { print gaps + 0 }'
}

# at_least NUMBER WHAT IS - IS is not less than NUMBER.
at_least() {
	echo "$2: $3, wanted: $1 or more"
	[ "$3" -ge "$1" ]
}

check "insmod succeeds" load_pack near_packs=128 retain_seconds=0
check "there is a pack before the first image" packs_are 1
mark_log
check "images fill nearly all of the first pack" keep 29 65536
check "the module makes a second pack ahead of need" loop_until packs_are 2
check "the second pack is empty" test "$(status_value empty_packs)" -eq 1
check "the images in the first pack are freed" keep_no_more
check "one of the two packs stays" loop_until packs_are 1
already=$(count_packs near)
free=$(free_slots)
echo "free near the kernel: room for $free packs; packs there: $already" | comment
check "the kernel has room for more than 64 packs near it" at_least 65 "free slots" "$free"
mark_log
check "images fill $IMAGES packs" keep "$IMAGES" "$PACK"
check "packs served every one of these images" test "$(kept)" -eq "$IMAGES"
near=$(count_packs near) far=$(count_packs far)
echo "$near packs near, $far far, in $(gaps) pieces" | comment
# Other parts of the kernel may take some of it meanwhile.
check "packs use all the room near the kernel" at_least $((free + already - 2)) "near packs" "$near"
check "more than 64 packs are near the kernel" at_least 65 "near packs" "$near"
check "the packs that are not near are far" at_least $((IMAGES - near)) "far packs" "$far"
check "near and far packs together are all packs" test $((near + far)) -eq "$(status_value packs)"
check "the far packs stand side by side" test "$(gaps)" -le 3
check "the images in $IMAGES packs are freed" keep_no_more
check "all packs but one are given back" loop_until packs_are 1
check "rmmod succeeds" unload_pack

# The parameter bounds their number, too.
check "near_packs=3: insmod succeeds" load_pack near_packs=3 retain_seconds=0
check "near_packs=3: images fill 6 packs" keep 6 "$PACK"
check "near_packs=3: 3 packs are near" test "$(count_packs near)" -eq 3
check "near_packs=3: the other packs are far" at_least 3 "far packs" "$(count_packs far)"
check "near_packs=3: the images are freed" keep_no_more
check "near_packs=3: rmmod succeeds" unload_pack

check "near_packs=0: insmod succeeds" load_pack near_packs=0 retain_seconds=0
check "near_packs=0: images fill 6 packs" keep 6 "$PACK"
check "near_packs=0: no pack is near" test "$(count_packs near)" -eq 0
check "near_packs=0: all packs are far" at_least 6 "far packs" "$(count_packs far)"
check "near_packs=0: the images are freed" keep_no_more
check "near_packs=0: rmmod succeeds" unload_pack
finish_test
