#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The debugfs file images lists every image once, with its true state, however it is read
# and whatever comes and goes meanwhile; it holds the module while it is open (I7).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

MANY=${MANY:-3000}
LOADS=${LOADS:-30}

start_test images
need_tool hold_progs load_functions as_nobody
need_module bpf_pack bpf_pack_keeper

# The states of an image in rust/pack_core.
STATES='reserved writing live doomed retiring retired syncing'

# well_formed FILE... - each line is one of a pack or of an image; images lie in the pack
# before them, ascend and do not overlap. Several readings may follow one another, each
# with a line "-" before it.
well_formed() {
	awk -v states="$STATES" '
		# The value of the last 12 of 16 hexadecimal digits.
		function value(hex, i, n) {
			for (i = 5; i <= 16; i++)
				n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
			return n
		}
		function bad(why) { print FILENAME ": " why ": " $0; failed = 1 }
		BEGIN { split(states, names, " "); for (i in names) known[names[i]] = 1 }
		/^-$/ { next }
		/^pack 0x/ {
			if ($0 !~ /^pack 0x[0-9a-f]*-0x[0-9a-f]*: .*, (near|far), linear alias [a-zA-Z]+, [0-9]+ images, bytes: [0-9]+ live, [0-9]+ reserved, [0-9]+ retired, [0-9]+ free$/)
				bad("no line of a pack")
			free_from = value(substr($2, 3, 16)); end = value(substr($2, 22, 16))
			next
		}
		!/^image 0x[0-9a-f]+ [1-9][0-9]* [a-z]+$/ || length($2) != 18 || !($4 in known) {
			bad("no line of an image")
			next
		}
		{
			start = value(substr($2, 3))
			if (start % 64 || $3 % 64) bad("no whole chunks")
			if (start < free_from) bad("overlaps, or is not in order")
			if (start + $3 > end) bad("is not in its pack")
			free_from = start + $3
		}
		END { exit failed }' "$@"
}

# add_up - at rest the file has as many images of each state as status, with as many bytes,
# and the same lines of packs.
add_up() {
	cat "$IMAGES" >"$WORK/images"
	grep '^pack ' "$STATUS" >"$WORK/packs"
	grep '^pack ' "$WORK/images" | diff "$WORK/packs" - || return
	for state in $STATES; do
		awk -v state="$state" '$1 == "image" && $4 == state { images++; bytes += $3 }
			END { printf "%d %.0f\n", images, bytes }' "$WORK/images" >"$WORK/sums"
		echo "$state: $(cat "$WORK/sums"), status: $(status_value "${state}_images") $(status_value "${state}_bytes")"
		[ "$(cat "$WORK/sums")" = "$(status_value "${state}_images") $(status_value "${state}_bytes")" ] || return
	done
	live=$(awk '/^image / && !/ (retiring|retired|syncing)$/ { n++ } END { print n + 0 }' "$WORK/images")
	[ "$live" -eq "$(status_value images)" ]
}

# holds_all LABEL - each image that hold_progs printed is live in the file.
holds_all() {
	held_images "$1" | sort >"$WORK/held" && test -s "$WORK/held" || return
	# The kernel shows where the code of an image begins: behind its header.
	list_images live | while read -r address bytes _; do
		echo "$(number "$address") $bytes"
	done >"$WORK/listed"
	while read -r address _; do
		awk -v code="$(number "$address")" '$1 <= code && code < $1 + $2 { found = 1 } END { exit !found }' \
			"$WORK/listed" || {
			echo "not listed: $address"
			return 1
		}
	done <"$WORK/held"
}

# read_in_steps BYTES - reading so many bytes at a time gives the same text.
read_in_steps() {
	dd if="$IMAGES" bs="$1" 2>/dev/null | cmp - "$WORK/text"
}

# seek_to BYTES - the text from there on, by lseek.
seek_to() {
	dd if="$IMAGES" bs="$1" skip=1 2>/dev/null >"$WORK/rest" && tail -c +$(($1 + 1)) "$WORK/text" | cmp - "$WORK/rest"
}

# read_beside TOOL ARGUMENT... - reads the file again and again while the tool runs; fails if
# that fails.
read_beside() {
	"$TOOLS/$1" "$2" "$3" "$4" >"$WORK/beside" 2>&1 &
	beside=$! rounds=0
	while kill -0 "$beside" 2>/dev/null; do
		{
			echo -
			cat "$IMAGES" || return
		} >>"$WORK/seen"
		rounds=$((rounds + 1))
	done
	echo "readings: $rounds"
	wait "$beside" && [ "$rounds" -gt 3 ]
}

seen() {
	grep -c "^image .* $1\$" "$WORK/seen"
}

# has_trampoline STATE - one is among the images in this state.
has_trampoline() {
	awk '$3 ~ /^bpf_trampoline_/ { print $1 }' /proc/kallsyms >"$WORK/trampolines"
	[ -s "$WORK/trampolines" ] && list_images "$1" >"$WORK/images_in_state" &&
		grep -i -F -f "$WORK/trampolines" "$WORK/images_in_state"
}

# ends_soon - reading the rest of the open file ends.
ends_soon() {
	cat <&3 >"$WORK/rest"
}

check "insmod succeeds" load_pack
check "nothing is left of insmod" loop_until nothing_retired
check "without images the lines add up with status" loop_until add_up
check "programs and a trampoline are held" hold_start held --count 40 --attach fentry
check "what was freed before is free" loop_until nothing_retired
check "with programs each line is well formed, and images ascend" well_formed "$IMAGES"
check "with programs the lines add up with status" loop_until add_up
check "each program is in an image that is live" holds_all held
if is_native; then
	# The kernel itself passes on each copy; the hook on that function is not always called.
	check "a trampoline is live" has_trampoline live
else
	check "a trampoline is reserved" has_trampoline reserved
fi

cat "$IMAGES" >"$WORK/text"
for bytes in 1 7 100 5000; do
	check "reading $bytes bytes at a time gives the same text" read_in_steps "$bytes"
done
for bytes in 1 150 1000 2000; do
	check "lseek to byte $bytes gives the rest of the text" seek_to "$bytes"
done
check "only root may read it: its mode is 0400" test "$(stat -c %a "$IMAGES")" = 400
check_fails "another user cannot open it" 'permission denied' "$TOOLS/as_nobody" cat "$IMAGES"

exec 3<"$IMAGES"
check "one line can be read from the open file" dd bs=64 count=1 of=/dev/null <&3
check "the held programs end with right results" hold_stop "$HOLDER"
check "all images are freed" loop_until images_are 0
check_fails "rmmod is refused while the file is open (I7)" "$IN_USE" rmmod bpf_pack
check "the rest of the open file can be read after the images are gone" ends_soon
exec 3<&-

: >"$WORK/seen"
check "the file can be read while programs of 64 functions come and go" read_beside load_functions 64 "$LOADS" 2
check "each line that was read meanwhile is well formed" well_formed "$WORK/seen"
for state in writing live retired; do
	check "images in the state $state were seen meanwhile" test "$(seen "$state")" -gt 0
done
comment <<COUNTS
$(for state in $STATES; do echo "$state: $(seen "$state")"; done)
COUNTS

mark_log
check "$MANY images are kept" keep "$MANY" 128
check "of $MANY images all got memory" test "$(kept)" -eq "$MANY"
check "beside $MANY images what was freed is free" loop_until nothing_retired
check "$MANY images are well formed and ascend" well_formed "$IMAGES"
check "$MANY images add up with status" loop_until add_up
cat "$IMAGES" >"$WORK/text"
check "reading $MANY images 1000 bytes at a time gives the same text" read_in_steps 1000
check "lseek to the middle of $MANY images gives the rest of the text" seek_to 60000
check "the images are given back" keep_no_more
check "the module counts its books and finds them right" control check
check "rmmod succeeds" unload_pack
finish_test
