# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# The leaves of the linear map, as bpf_pack_ptwalk counts them, and memory that is fragmented.
# The benchmark uses this file, too. The caller sets WALK, the folder of bpf_pack_ptwalk, and
# WORK, a folder for files.

HUGE_PAGES=/proc/sys/vm/nr_hugepages
# Half of these files of 512 KiB are removed again: the holes are enough for 50 packs, and for what
# the kernel keeps back in each zone (with 4 GiB about 35 MiB).
FILLING=960

# count_leaves NAME - keeps the leaves of the linear map as NAME.
count_leaves() {
	cat "$WALK/linear" >"$WORK/linear.$1" && [ "$(tail -n 1 "$WORK/linear.$1")" = 'result: ok' ]
}

# leaves NAME [KIND] - the number of leaves of this kind, such as "1 GiB block", or of all.
leaves() {
	sed -n "s/^leaf=\"${2:-.*}\".* leaves=\([0-9]*\) .*/\1/p" "$WORK/linear.$1" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# split NAME BYTES - the number of blocks of this size that tables map instead.
split() {
	sed -n "s/^split bytes=$2 blocks=//p" "$WORK/linear.$1"
}

# free_blocks - the number of free blocks of 2 MiB; with pages of 4 KiB, orders 9 and 10.
free_blocks() {
	awk '{ sum += $14 + 2 * $15 } END { print sum + 0 }' /proc/buddyinfo
}

# fragment - huge pages take all free blocks of 2 MiB, and there are holes of 512 KiB.
fragment() {
	mkdir "$WORK/fill" || return
	file=0
	while [ "$file" -lt "$FILLING" ]; do
		dd if=/dev/zero of="$WORK/fill/$file" bs=512k count=1 2>/dev/null || return
		file=$((file + 1))
	done
	# Some blocks stay until there are holes: without any memory the machine would die.
	echo $(($(free_blocks) - 40)) >"$HUGE_PAGES"
	rm "$WORK/fill"/*[02468]
	echo $(($(cat "$HUGE_PAGES") + $(free_blocks))) >"$HUGE_PAGES"
	echo "huge pages: $(cat "$HUGE_PAGES")"
	cat /proc/buddyinfo
}

# defragment - ends that.
defragment() {
	rm -rf "$WORK/fill"
	echo 0 >"$HUGE_PAGES"
}
