#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module on a kernel that was booted in another way: insmod is refused and the stock
# kernel works, or programs work in packs that are mapped as expected.
#
# Environment, by default as for Debian's kernel without any parameters:
#   REFUSED       insmod fails with an error that matches this
#   LEAF          the leaf of the first pack in status
#   ALIAS         its linear alias in status: invalid or WRITABLE
#   LINEAR        what a write to it through the linear map gives
#   STOCK_LINEAR  the same for an image of the stock allocator
#   LOCKDOWN      a level of lockdown to enter after insmod
#   WRONG         stock or packs: wrong calls of the kernel's own functions before or after
#                 insmod, of which the kernel warns
#   JUMP          to jump to at the end, which kills the kernel: stock_freed, freed, unused or
#                 returned, a pack that the module gave back
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/attacks.sh
. "$DIR/shell/attacks.sh"

LEAF=${LEAF:-2 MiB block} ALIAS=${ALIAS:-invalid} LINEAR=${LINEAR:-unreadable, fault}
STOCK_LINEAR=${STOCK_LINEAR:-fault}

start_test boot
need_tool hold_progs
need_module bpf_pack bpf_pack_attacker

# first_pack WORD - a word of the first pack's line of status, as packs() counts them.
first_pack() {
	packs | awk -v word="$1" 'NR == 1 { print $word }'
}

leaf_is() {
	packs
	[ "$(packs | awk 'NR == 1 { print $7, $8, $9 }')" = "$1" ]
}

# first_image LABEL - the address of the first image of a hold_progs.
first_image() {
	held_images "$1" | sed -n '1s/ .*//p'
}

# freed_image LABEL - makes and frees a program; FREED is where its image was.
freed_image() {
	hold_start "$1" --count 1 --insns 1000 && FREED=$(first_image "$1") && hold_stop "$HOLDER" &&
		loop_until all_trap "$FREED" 4096
}

# in_pack_of_others - programs that were loaded in lockdown are in the pack of those before.
in_pack_of_others() {
	echo "$(first_image ours), $(first_image locked)"
	ours_at=$(number "$(first_image ours)") locked_at=$(number "$(first_image locked)")
	[ $((ours_at / 2097152)) -eq $((locked_at / 2097152)) ]
}

# warns_of_two_calls - the complaints are of the size that cannot be and of the memory that is freed.
warns_of_two_calls() {
	complaints | grep -v 'Call trace' | sed 's/^\[[^]]*\] *//; s/ at .*//; s/core.c:.*/core.c/; s/vmalloc.c:.*/vmalloc.c/' >"$WORK/complaints"
	cat "$WORK/complaints"
	printf '%s\n' 'WARNING: mm/vmalloc.c' 'bpf_prog_pack bug' 'WARNING: kernel/bpf/core.c' |
		cmp - "$WORK/complaints"
}

# wrong_calls SIDE - sizes that cannot be, and memory of a process that is freed.
wrong_calls() {
	check "$1: the kernel logged no complaint before" log_is_clean
	nothing=$(attack alloc 0)
	check "$1: an image of 0 bytes has an address" test "$nothing" != 0x0
	byte=$(attack alloc 1)
	check "$1: an image of 1 byte is made" test "$byte" != 0x0
	check "$1: the image of 1 byte is freed" attack_gives 'done' free "$byte" 1
	check "$1: an image of 2^31 bytes is refused" attack_gives 0x0 alloc 2147483648
	check "$1: an image of 2^32-1 bytes is refused" attack_gives 0x0 alloc 4294967295
	check "$1: memory of a process is freed" attack_gives 'done' free user_page 64
	check "$1: the kernel warns of that" log_says 'bpf_prog_pack bug'
	check "$1: it warns of nothing else" warns_of_two_calls
	forget_log
}

# nowhere ADDRESS - it is in no pack.
nowhere() {
	! pack_of "$1"
}

# fall ADDRESS - jumps there.
fall() {
	sync
	attack fall "$1"
}

check "stock: programs work" hold_start stock --count 5
stock=$HOLDER
if [ -n "${REFUSED:-}" ]; then
	check_fails "insmod is refused" "$REFUSED" load_pack
	check_fails "insmod of the test build is refused" "$REFUSED" load_test_pack
	check "nothing of the module is there" test ! -e "$DEBUGFS/bpf_pack" -a ! -e /sys/module/bpf_pack
	check "programs work after that" hold_start after --count 5
	check "these programs end, with right results" hold_stop "$HOLDER"
	check "the stock programs end, with right results" hold_stop "$stock"
	finish_test
	exit
fi

check "insmod of the attacker succeeds" insmod "$(module bpf_pack_attacker)"
check "stock: a write through the linear map gives: $STOCK_LINEAR" \
	attack_gives "$STOCK_LINEAR" write_linear "$(first_image stock)"
if [ "${WRONG:-}" = stock ]; then
	wrong_calls stock
fi
if [ "${JUMP:-}" = stock_freed ]; then
	check "stock: an image is freed" freed_image freed
	fall "$FREED"
fi
check "insmod succeeds" load_pack retain_seconds=0
check "the log names the leaf and the place of the first pack" log_names_leaf
check "programs work in packs" hold_start ours --count 20 --attach fentry --attach tracepoint
ours=$HOLDER
check "packs have images" test "$(status_value images)" -ge 22
packs | comment
check "the leaf of the first pack is: $LEAF" leaf_is "$LEAF"
check "the linear alias of the first pack is: $ALIAS" test "$(first_pack 4)" = "$ALIAS"
check "a write to an image faults" attack_gives fault write "$(first_image ours)"
check "a write through the linear map gives: $LINEAR" attack_gives "$LINEAR" write_linear "$(first_image ours)"
if [ "${WRONG:-}" = packs ]; then
	wrong_calls packs
	check "packs: the image of 0 bytes is not in a pack" nowhere "$nothing"
fi
if [ -n "${LOCKDOWN:-}" ]; then
	check "lockdown begins after insmod" sh -c "echo $LOCKDOWN >/sys/kernel/security/lockdown"
	# The kernel lets root read files of debugfs that nobody can write.
	check "status can be read in lockdown" status_value images
	check_fails "control cannot be written in lockdown" 'not permitted' control drain
	check "programs work in lockdown" hold_start locked --count 5
	check "they are in the pack of the others" in_pack_of_others
	check "they end, with right results" hold_stop "$HOLDER"
fi
case ${JUMP:-} in
freed)
	check "an image is freed" freed_image freed
	fall "$FREED"
	;;
unused) fall "$(plus "0x$(first_pack 1)" $((2097152 - 64)))" ;;
returned)
	large=$(attack alloc 3145728)
	attack free "$large" 3145728 >"$WORK/out"
	check "the pack of a large image is given back" loop_until packs_are 1
	fall "$large"
	;;
esac
check "the programs in packs end, with right results" hold_stop "$ours"
check "the stock programs end, with right results" hold_stop "$stock"
check "rmmod of the attacker succeeds" rmmod bpf_pack_attacker
if [ -n "${LOCKDOWN:-}" ]; then
	check "rmmod succeeds in lockdown" loop_until rmmod bpf_pack
else
	check "rmmod succeeds" unload_pack
fi
finish_test
