#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Attacks that must lose: writing to images, jumping to memory without an image, calls
# with wrong arguments, readers and users without rights, insmod with nonsense. Those that
# make sense on the stock kernel are tried there, too, beside images of its allocator.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/attacks.sh
. "$DIR/shell/attacks.sh"

PACK=2097152
# Bytes of an image for wrong calls: no hole between programs is that large.
SIZE=32768
# Bytes of never-used memory, at the end of a pack, to which the attacker jumps.
UNUSED=16384
# Packs that may be near the kernel, and packs' worth of classic programs of a user without
# rights, of so many instructions: the kernel lets that user have no larger ones.
NEAR=2
FILL=3
INSNS=1000

start_test attacks
need_tool hold_progs hold_classic as_nobody attack_memory kcore_read
need_module bpf_pack bpf_pack_attacker bpf_pack_holder

# first_image LABEL - the address of the first image of a hold_progs.
first_image() {
	held_images "$1" | sed -n '1s/ .*//p'
}

# stock_pack ADDRESS - the start of the area of vmalloc space that holds ADDRESS.
stock_pack() {
	set_setting kernel.kptr_restrict 1
	wanted=$(number "$1")
	sed -n 's/^\(0x[0-9a-f]*\)-\(0x[0-9a-f]*\) .*/\1 \2/p' /proc/vmallocinfo >"$WORK/areas"
	set_setting kernel.kptr_restrict 0
	while read -r start end; do
		if [ "$wanted" -ge "$(number "$start")" ] && [ "$wanted" -lt "$(number "$end")" ]; then
			echo "$start"
		fi
	done <"$WORK/areas" | grep .
}

# --- writing -----------------------------------------------------------------

# writes_lose SIDE LABEL LINEAR KCORE - nobody can write to the first image of a hold_progs,
# which runs all the time; LINEAR is what a write through the linear map gives, KCORE what
# /proc/kcore shows of it.
writes_lose() {
	image=$(first_image "$2")
	length=$(held_images "$2" | sed -n '1s/.* //p')
	sum=$(attack sum "$image" "$length")
	check "$1: a write of the kernel to an image faults" attack_gives fault write "$image"
	check "$1: a write of the kernel to an image through the linear map faults" \
		attack_gives "$3" write_linear "$image"
	run_cases "$1: root and an image" "$TOOLS/attack_memory" "$image" "$(attack physical "$image")"
	check "$1: /proc/kcore shows of an image: $4" kcore_shows "$4" "$image"
	check "$1: the image has not changed" attack_gives "$sum" sum "$image" "$length"
}

# kcore_shows WHAT ADDRESS
kcore_shows() {
	got=$("$TOOLS/kcore_read" "$2" 64)
	echo "$got"
	[ "$got" = "$1" ]
}

# --- jumping -----------------------------------------------------------------

# jumps_lose SIDE UNUSED FREED LENGTH - jumps to memory of a pack that never had an image,
# to a freed image and to a reserved one trap before anything runs.
jumps_lose() {
	check "$1: each jump to never-used memory traps at once" each_jump_traps "$2" "$UNUSED"
	check "$1: never-used memory has nothing but traps" all_trap "$2" "$UNUSED"
	check "$1: each jump to a freed image traps at once" each_jump_traps "$3" "$4"
	check "$1: a freed image has nothing but traps" all_trap "$3" "$4"
	reserved=$(attack alloc 4096)
	check "$1: each jump to a reserved image traps at once" each_jump_traps "$reserved" 4096
	check "$1: a reserved image has nothing but traps" all_trap "$reserved" 4096
	check "$1: the reserved image is freed" attack_gives 'done' free "$reserved" 4096
}

# --- wrong calls -------------------------------------------------------------

# settled - nothing that was freed waits: it would become free between two allocations, and be
# the first place for the second.
settled() {
	! is_loaded bpf_pack || loop_until nothing_retired
}

# neighbours PREFIX - three images side by side, in FIRST, SECOND and THIRD, made and filled
# by the functions whose names begin so.
neighbours() {
	settled || return
	FIRST=$(attack "$1alloc" "$SIZE")
	SECOND=$(attack "$1alloc" "$SIZE")
	THIRD=$(attack "$1alloc" "$SIZE")
	echo "$FIRST $SECOND $THIRD"
	for image in "$FIRST" "$SECOND" "$THIRD"; do
		attack_gives filled fill "$image" "$SIZE" || return
	done
	side_by_side
}

side_by_side() {
	[ "$SECOND" = "$(plus "$FIRST" "$SIZE")" ] && [ "$THIRD" = "$(plus "$SECOND" "$SIZE")" ]
}

# image_is WHAT ADDRESS - the image is whole, as it was filled; overwritten, or a part of
# it; or nothing but traps.
image_is() {
	case $1 in
	whole) attack_gives "$((SIZE / 4)) of $((SIZE / 4))" no_traps "$2" "$SIZE" ;;
	overwritten) ! image_is whole "$2" ;;
	traps) all_trap "$2" "$SIZE" ;;
	esac
}

# freed_again PREFIX - THIRD is an image that was freed, OTHER one that was made after that. Packs
# do not use memory of freed images at once, but they do after a second: some tries, as such a
# second may have passed. Packs that do so each time fail what comes next.
freed_again() {
	settled
	for _ in 1 2 3 4 5; do
		THIRD=$(attack "$1alloc" "$SIZE")
		attack "$1free" "$THIRD" "$SIZE" >"$WORK/out"
		OTHER=$(attack "$1alloc" "$SIZE")
		{ is_loaded bpf_pack && [ "$OTHER" = "$THIRD" ]; } || return 0
		attack "$1free" "$OTHER" "$SIZE" >"$WORK/out"
	done
	OTHER=$(attack "$1alloc" "$SIZE")
}

# wrong_frees SIDE WHAT PREFIX - frees of a middle, of a wrong size and of a freed image,
# after each of which an image that nobody freed is WHAT: whole or overwritten.
wrong_frees() {
	check "$1: three images lie side by side" neighbours "$3"
	if ! side_by_side; then
		skip_case "$1: wrong frees" "the images do not lie side by side"
		return
	fi
	check "$1: the middle of an image is freed" attack_gives 'done' "$3free" "$(plus "$FIRST" 64)" 64
	check "$1: the image whose middle was freed is $2" image_is "$2" "$FIRST"
	check "$1: an image is freed with twice its size" attack_gives 'done' "$3free" "$FIRST" $((2 * SIZE))
	check "$1: an image that was freed with twice its size is traps" image_is traps "$FIRST"
	check "$1: the image behind it is $2" image_is "$2" "$SECOND"
	check "$1: the image behind that is whole" image_is whole "$THIRD"
	attack "$3free" "$SECOND" "$SIZE" >"$WORK/out"
	check "$1: an image is freed" attack_gives 'done' "$3free" "$THIRD" "$SIZE"
	freed_again "$3"
	check "$1: another image is made after a free" attack_gives filled fill "$OTHER" "$SIZE"
	check "$1: the image that was freed before is freed again" attack_gives 'done' "$3free" "$THIRD" "$SIZE"
	check "$1: the other image is $2 after that" image_is "$2" "$OTHER"
}

# grew KEY BEFORE BY - a counter of status.
grew() {
	echo "$1: $(status_value "$1"), before: $2, wanted: $3 more"
	[ "$(status_value "$1")" -eq $(($2 + $3)) ]
}

# exported_calls_lose - wrong calls of the functions for other JITs.
exported_calls_lose() {
	for size in 0 2147483648 4294967295 4294967296; do
		check "exported: an image of $size bytes is refused" attack_gives 0x0 exported_alloc "$size"
	done
	image=$(attack exported_alloc 1)
	check "exported: an image of 1 byte is made" pack_of "$image"
	before=$(status_value bad_calls)
	check "exported: freeing an image of the stock allocator returns" \
		attack_gives 'done' exported_free "$(first_image stock)" 64
	check "exported: finalizing an image of the stock allocator is refused" \
		attack_gives -22 exported_finalize "$(first_image stock)" own_data 64
	check "exported: freeing memory of a process returns" attack_gives 'done' exported_free user_page 64
	check "exported: finalizing memory of a process is refused" \
		attack_gives -22 exported_finalize user_page own_data 64
	check "exported: memory of a process is not copied into an image" \
		attack_gives -14 exported_finalize "$image" user_page 64
	check "exported: that image has nothing but traps" all_trap "$image" 64
	check "exported: status counts the two wrong frees and two wrong finalizes" grew bad_calls "$before" 4
	check "exported: the image of 1 byte is freed" attack_gives 'done' exported_free "$image" 1
}

# --- readers and users without rights ----------------------------------------

# as_nobody COMMAND...
as_nobody() {
	"$TOOLS/as_nobody" "$@"
}

# shows_address FILE... - an address of the kernel is in one of the files, as text.
shows_address() {
	grep -aE '(^|[^0-9a-f])ffff[0-9a-f]{12}([^0-9a-f]|$)|0xffff[0-9a-f]{12}' "$@"
}

# file_shows_none FILE
file_shows_none() {
	! shows_address "$1"
}

# look_at FILE - what root and a user without rights see of BPF there.
look_at() {
	grep -F bpf_ "$1" >"$WORK/root"
	as_nobody grep -F bpf_ "$1" >"$WORK/nobody"
}

# nobody_sees_none PATTERN - in what look_at() saw, the user without rights has lines that
# match, and no address in them; root has.
nobody_sees_none() {
	grep -E "$1" "$WORK/root" >"$WORK/lines" && shows_address "$WORK/lines" >"$WORK/out" &&
		grep -E "$1" "$WORK/nobody" >"$WORK/lines" && file_shows_none "$WORK/lines"
}

# sysfs_shows_none - what a user without rights can read of the module has no address.
sysfs_shows_none() {
	find /sys/module/bpf_pack/ -type f >"$WORK/files"
	while read -r file; do
		if as_nobody cat "$file" >"$WORK/nobody" 2>"$WORK/out"; then
			echo "readable: $file"
			! shows_address "$WORK/nobody" || return
		fi
	done <"$WORK/files"
	# Root finds one, so that there is something to hide.
	shows_address /sys/module/bpf_pack/sections/.text
}

# readers_lose
readers_lose() {
	for file in "$STATUS" "$CONTROL" /proc/vmallocinfo /sys/kernel/tracing/events/bpf_pack/enable; do
		check "root can read $file" test -r "$file"
		check_fails "a user without rights cannot read $file" 'denied' as_nobody cat "$file"
	done
	check_fails "a user without rights cannot write control" 'denied' as_nobody sh -c "echo drain >$CONTROL"
	check_fails "a user without rights cannot read the kernel's log" 'not permitted' as_nobody dmesg
	check "nobody can read the parameters" test ! -e /sys/module/bpf_pack/parameters
	check "/sys/module/bpf_pack shows no address to a user without rights" sysfs_shows_none
	look_at /proc/modules
	check "/proc/modules shows no address to a user without rights" nobody_sees_none '^bpf_pack '
	look_at /proc/kallsyms
	check "/proc/kallsyms shows no address of ours to a user without rights" nobody_sees_none '\[bpf_pack\]'
	check "/proc/kallsyms shows no address of programs to a user without rights" \
		nobody_sees_none ' bpf_prog_[0-9a-f]{16}'
	# The log tells of wrong calls, and may go to many readers.
	dmesg | grep 'bpf_pack: ' >"$WORK/log"
	check "the log tells of wrong calls" grep -q 'bpf_pack: bad free' "$WORK/log"
	check "the log shows no address" file_shows_none "$WORK/log"
}

# classic_loses - a user without rights fills packs with classic programs.
classic_loses() {
	check "a user without rights has a classic program" start_tool one as_nobody "$TOOLS/hold_classic" 1 "$INSNS"
	each=$(status_value live_bytes)
	check "that classic program ends, with right results" hold_stop "$HOLDER"
	check "no image of that classic program is left" loop_until images_are 0
	count=$((FILL * PACK / (each > 0 ? each : PACK)))
	check "the same user has classic programs for $FILL packs" \
		start_tool many as_nobody "$TOOLS/hold_classic" "$count" "$INSNS"
	classic=$HOLDER
	comment <"$HOLD_LOG"
	packs | comment
	check "all $count classic programs of that user are in packs" images_are "$count"
	check "one pack of them is near the kernel" test "$(count_packs near)" -eq 1
	check "a large program of root works beside them" hold_start other --insns 40000
	check "that large program is near the kernel" pack_of "$(first_image other)" near
	check "that large program ends, with right results" hold_stop "$HOLDER"
	check "the classic programs of that user end, with right results" hold_stop "$classic"
	check "no image of that user is left" loop_until images_are 0
	check "one pack is left after that user" loop_until packs_are 1
}

# --- other modules, and parameters -------------------------------------------

# renamed - a copy of the module with another name, also of its symbols.
renamed() {
	sed 's/bpf_pack/bpf_pacq/g' "$(module bpf_pack)" >"$WORK/bpf_pacq.ko"
	insmod "$WORK/bpf_pacq.ko"
}

# seconds_lose - the module is loaded already.
seconds_lose() {
	check_fails "a second insmod is refused" 'exists' load_pack
	check_fails "insmod of the test build is refused while the module is loaded" 'exists' load_test_pack
	check_fails "insmod of a copy with another name is refused while the module is loaded" 'busy' renamed
	if is_native; then
		check "the log says what the copy cannot have" \
			log_says 'bpf_pacq: cannot register with the JIT, which has another allocator'
	else
		check "the log names the function that the copy cannot have" \
			log_says 'bpf_pacq: bpf_prog_pack_free is held by another user of ftrace'
	fi
	# A kernel that calls the module has nothing to be redirected.
	is_native || for function in bpf_prog_pack_alloc bpf_prog_pack_free bpf_jit_binary_pack_finalize \
		bpf_arch_text_copy bpf_arch_text_poke; do
		check_fails "another user of ftrace cannot redirect $function" 'busy' \
			insmod "$(module bpf_pack_holder)" function="$function"
	done
	served=$(images_served)
	check "programs work after the second modules" hold_start seconds --count 3
	check "packs served the programs after the second modules" test "$(images_served)" -ge $((served + 3))
	check "the programs after the second modules end, with right results" hold_stop "$HOLDER"
}

# refused PARAMETER - insmod fails, and leaves nothing.
refused() {
	check_fails "insmod with '$1' is refused" 'invalid|out of range|too large' load_pack "$1"
	check "nothing is there after insmod with '$1'" nothing_there
}

nothing_there() {
	! is_loaded bpf_pack && [ ! -e "$DEBUGFS/bpf_pack" ] &&
		! grep -E 'bpf_prog_pack_|bpf_arch_text_|bpf_jit_binary' /sys/kernel/tracing/enabled_functions
}

# -----------------------------------------------------------------------------

check "insmod of the attacker succeeds" insmod "$(module bpf_pack_attacker)"
check "the attacker can write where writing is allowed" attack_gives written write own_data
check "the attacker sees that a jump runs what does not trap" attack_gives ran jump own_function

check "stock: programs work" hold_start stock --count 3
stock=$HOLDER
writes_lose stock stock fault data
check "stock: a program that ends works" hold_start stock_freed --count 1 --insns 1000
freed=$(first_image stock_freed)
check "stock: the program that ends does so, with right results" hold_stop "$HOLDER"
check "stock: the freed image becomes traps" loop_until all_trap "$freed" 4096
jumps_lose stock "$(plus "$(stock_pack "$freed")" $((PACK - UNUSED)))" "$freed" 4096
wrong_frees stock overwritten ''
look_at /proc/kallsyms
check "stock: /proc/kallsyms shows no address of programs to a user without rights" \
	nobody_sees_none ' bpf_prog_[0-9a-f]{16}'

check "insmod succeeds" load_pack retain_seconds=250
check "packs: programs work" hold_start ours --count 3
ours=$HOLDER
writes_lose packs ours 'unreadable, fault' zeroes
check "packs: a program that ends works" hold_start ours_freed --count 1 --insns 1000
freed=$(first_image ours_freed)
check "packs: the program that ends does so, with right results" hold_stop "$HOLDER"
check "packs: the freed image becomes traps" loop_until all_trap "$freed" 4096
jumps_lose packs "$(plus "0x$(pack_of "$freed")" $((PACK - UNUSED)))" "$freed" 4096
for prefix in '' exported_; do
	bad=$(status_value bad_calls)
	wrong_frees "packs, ${prefix}free" whole "$prefix"
	check "packs, ${prefix}free: status counts the free of a middle and the second free" grew bad_calls "$bad" 2
	attack "${prefix}free" "$OTHER" "$SIZE" >"$WORK/out"
done
exported_calls_lose
check "the module counts its books after the attacks and finds them right" control check
readers_lose
check "packs: the attacked programs end, with right results" hold_stop "$ours"
check "stock: the attacked programs end, with right results" hold_stop "$stock"
check "rmmod succeeds after the attacks" unload_pack

check "insmod with near_packs=$NEAR succeeds" load_pack near_packs="$NEAR" retain_seconds=0
classic_loses
mark_log
seconds_lose
check "rmmod succeeds after the second modules" unload_pack

for value in 129 -1 4294967296 x ''; do
	refused "near_packs=$value"
done
for value in 251 -1 1.5; do
	refused "retain_seconds=$value"
done
check "insmod succeeds after all refused ones" load_pack
check "rmmod succeeds after all refused ones" unload_pack
check "rmmod of the attacker succeeds" rmmod bpf_pack_attacker
finish_test
