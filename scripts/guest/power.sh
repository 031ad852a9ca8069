#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The guest's part of scripts/tests/power.sh: what sleeps, is written to disk, is left by
# kexec or crashes has BPF programs that go on running. It is called as
# "power.sh WHAT SIDE", with SIDE "module" or "stock", from the folder of the self-tests,
# whose functions it uses. With kexec and crash it runs a second time, in the second kernel.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

WHAT=$1 SIDE=$2
FILES=/overlay
RTC=/sys/class/rtc/rtc0
POWER=/sys/power
PACK_BYTES=2097152
# Filters whose bytes go into the crash dump's command line: the first ones that lie in
# one page each.
DUMPED=8

# --- the programs ------------------------------------------------------------

is_module() {
	[ "$SIDE" = module ]
}

# start_programs - small filters, filters of 48 KB, and attached programs that fire all the
# time. All check their results. Under the module, images without programs fill the rest of
# the first pack, so that there are two.
start_programs() {
	check "insmod of the page-table walker succeeds" load_walk
	if is_module; then
		check "insmod succeeds" load_pack
		check "images fill most of the first pack" keep 16 120000
	fi
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	check "large filters run" hold_start large --count 8 --insns 4000
	LARGE=$HOLDER
	check "20 filters and 3 attached programs run" \
		hold_start small --count 20 --attach fentry --attach kprobe --attach tracepoint
	SMALL=$HOLDER
	bytes_of_programs >"$WORK/bytes"
	check "the bytes of all programs can be read" test "$(wc -l <"$WORK/bytes")" -ge 31
	if is_module; then
		check "there is more than one pack" test "$(status_value packs)" -ge 2
	fi
}

# bytes_of_programs - a line "DIGEST FILE" for each loaded program: what its executable
# addresses hold. The files stay, and so does the list of the programs.
bytes_of_programs() {
	rm -rf "$WORK/images" && mkdir "$WORK/images" &&
		"$TOOLS/prog_bytes" "$WORK/images" >"$WORK/programs" && (cd "$WORK/images" && md5sum -- *)
}

# bytes_stayed - every program has the bytes that it had at the start.
bytes_stayed() {
	bytes_of_programs >"$WORK/bytes.now" && diff "$WORK/bytes" "$WORK/bytes.now"
}

# fired - how often the attached programs ran, all together.
fired() {
	bpftool prog show | awk '
		$2 ~ /^(tracing|kprobe|tracepoint)$/ {
			for (i = 1; i < NF; i++)
				if ($i == "run_cnt") sum += $(i + 1)
		}
		END { print sum + 0 }'
}

# fires_on COUNT - the attached programs ran more often than COUNT.
fires_on() {
	echo "ran $(fired) times, before: $1"
	kill -0 "$SMALL" && kill -0 "$LARGE" && [ "$(fired)" -gt "$1" ]
}

# answers_ok FILE [REQUEST] - the last line of the page-table walker's answer is "ok".
answers_ok() {
	if [ $# -gt 1 ]; then
		echo "$2" >"$WALK/$1" || return
	fi
	cat "$WALK/$1" >"$WORK/answer" || return
	cat "$WORK/answer"
	[ "$(tail -n 1 "$WORK/answer")" = 'result: ok' ]
}

# are_sealed - each pack is one 2 MiB leaf, read-only, its linear alias is invalid, and
# nothing else maps it writable.
are_sealed() {
	packs >"$WORK/packs" && [ -s "$WORK/packs" ] || return
	while read -r start _ _ alias _; do
		echo "pack $start: linear alias $alias"
		[ "$alias" = invalid ] && answers_ok alias "0x$start $PACK_BYTES" || return
		echo "0x$start" >"$WALK/walk"
		cat "$WALK/walk"
		grep -E ' span=2097152 ' "$WALK/walk" | grep -q 'perm=r-x' || return
	done <"$WORK/packs"
}

# number_at FILE OFFSET BYTES - an unsigned number in it.
number_at() {
	dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | od -An -t "u$3" | tr -d ' '
}

# segment_of FILE PHYSICAL LENGTH - the segment of an ELF file of memory that has this memory:
# its "OFFSET VIRTUAL PHYSICAL"; fails if none has all of it.
segment_of() {
	segment=$(number_at "$1" 32 8)
	segments=$(number_at "$1" 56 2)
	while [ "$segments" -gt 0 ]; do
		set -- "$1" "$2" "$3" "$(number_at "$1" "$segment" 4)" "$(number_at "$1" $((segment + 8)) 8)" \
			"$(number_at "$1" $((segment + 16)) 8)" "$(number_at "$1" $((segment + 24)) 8)" \
			"$(number_at "$1" $((segment + 32)) 8)"
		# Segments of other kinds of memory have no physical address: all ones.
		if [ "$4" -eq 1 ] && [ "${#7}" -lt 17 ] && [ $(($2)) -ge "$7" ] && [ $(($2 + $3)) -le $(($7 + $8)) ]; then
			echo "$5 $6 $7"
			return
		fi
		segment=$((segment + 56)) segments=$((segments - 1))
	done
	echo "no segment of $1 has $2" >&2
	return 1
}

# walk ADDRESS - what the page tables have for it.
walk() {
	echo "$1" >"$WALK/walk" && cat "$WALK/walk"
}

# linear_alias PACK - "ADDRESS PHYSICAL" of a pack in the linear map.
linear_alias() {
	physical=$(walk "0x$1" | sed -n 's/.* pa=\(0x[0-9a-f]*\).*/\1/p')
	found=$(segment_of /proc/kcore "$physical" "$PACK_BYTES") || return
	# shellcheck disable=SC2086 # three numbers
	set -- $found
	printf '0x%x %d\n' $(($2 + physical - $3)) "$((physical))"
}

# aliases_are_own - in the linear map of each pack, every 15th entry is invalid and has the
# page's own address. (An entry that covers more than a page has the address of its first.)
aliases_are_own() {
	while read -r start _; do
		alias_found=$(linear_alias "$start") || return
		alias_physical=${alias_found#* } page=0
		while [ "$page" -lt 512 ]; do
			at=$(printf '0x%x' $((${alias_found% *} + page * 4096)))
			entry=$(walk "$at")
			[ "$page" -ne 0 ] || echo "$entry"
			descriptor=${entry##*desc=} size=${entry##*size=}
			case $entry in *" hole "*) ;; *) echo "$entry" && return 1 ;; esac
			size=${size%% *} got=$((descriptor & 0xfffffffff000))
			if [ $((got)) -ne $(((alias_physical + page * 4096) / size * size)) ]; then
				echo "physical $alias_physical, page $page: $entry"
				return 1
			fi
			page=$((page + 15))
		done
	done <"$WORK/packs"
}

# show_aliases - the entries of the linear map for the packs.
show_aliases() {
	packs >"$WORK/packs"
	aliases_are_own | comment
}

# no_error_counted - status counts neither wrong calls nor copies that failed.
no_error_counted() {
	status_keys bad_calls && status_keys copy_errors
	[ "$(status_value bad_calls)" -eq 0 ] && [ "$(status_value copy_errors)" -eq 0 ]
}

# others_load - other programs are loaded, run and freed, by the allocator that serves here.
others_load() {
	before=$(is_module && images_served || echo 0)
	hold_start other --count 5 --between --attach tracepoint && hold_stop "$HOLDER" || return
	! is_module || [ "$(images_served)" -ge $((before + 11)) ]
}

# all_is_right WHEN
all_is_right() {
	check "$1: the programs go on and their results are right" loop_until fires_on "$(fired)"
	check "$1: every program has the bytes that it had" bytes_stayed
	if is_module; then
		check "$1: the books are right" control check
		check "$1: status counts no errors" no_error_counted
		check "$1: each pack is sealed: one 2 MiB leaf, no writable alias, linear alias invalid" are_sealed
		check "$1: the linear map of each pack has the pack's own pages, invalid" aliases_are_own
	fi
	check "$1: other programs are loaded, run and freed" others_load
}

# end_programs
end_programs() {
	check "the small programs end, with right results all the time" hold_stop "$SMALL"
	check "the large programs end, with right results all the time" hold_stop "$LARGE"
	check "nothing is writable and executable at the end" answers_ok check
	if is_module; then
		check "the images without programs are freed" keep_no_more
		check "rmmod succeeds" unload_pack
		check "nothing is writable and executable after rmmod" answers_ok check
	fi
}

# --- suspend to idle ---------------------------------------------------------

# suspends - how often the kernel slept and woke.
suspends() {
	cat "$POWER/suspend_stats/success"
}

# sleep_until_alarm - suspend to idle; the clock on the board wakes the machine.
sleep_until_alarm() {
	slept=$(suspends)
	echo 0 >"$RTC/wakealarm" && echo +5 >"$RTC/wakealarm" || return
	echo freeze >"$POWER/state" || return
	echo "slept $slept times before, $(suspends) now; alarm: $(cat "$RTC/wakealarm")"
	[ "$(suspends)" -gt "$slept" ] && [ -z "$(cat "$RTC/wakealarm")" ]
}

# rehearse LEVEL STATE - goes down as far as LEVEL, stays there for a second and comes back.
rehearse() {
	echo "$1" >"$POWER/pm_test" || return
	failure=0
	# shellcheck disable=SC2320 # the kernel's answer comes with the write
	echo "$2" >"$POWER/state" || failure=$?
	echo none >"$POWER/pm_test"
	log_since_mark | grep -F 'test' || true
	[ "$failure" -eq 0 ] && log_since_mark | grep -q 'Waiting for 1 second'
}

rehearse_all() {
	echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null || true
	for level in freezer devices platform; do
		mark_log
		check "suspend to idle as far as \"$level\" and back" rehearse "$level" freeze
	done
}

freeze() {
	start_programs
	check "three times suspend to idle, woken by the clock: 1" sleep_until_alarm
	check "three times suspend to idle, woken by the clock: 2" sleep_until_alarm
	check "three times suspend to idle, woken by the clock: 3" sleep_until_alarm
	all_is_right "after suspend to idle"
	rehearse_all
	all_is_right "after the rehearsals"
	end_programs
}

# --- hibernation -------------------------------------------------------------

# swap_on - swap on the first disk.
swap_on() {
	insmod "$FILES/virtio_blk.ko" && loop_until test -b /dev/vda &&
		mkswap /dev/vda && swapon /dev/vda && cat /proc/swaps &&
		cat /sys/class/block/vda/dev >"$POWER/resume"
}

# hibernate MODE - writes all memory to the disk, and returns from what was read back.
hibernate() {
	echo "$1" >"$POWER/disk" && cat "$POWER/disk" || return
	echo disk >"$POWER/state"
}

# rehearse_disk - the levels that only hibernation and suspend to memory have: without
# devices, with one CPU, with interrupts off.
rehearse_disk() {
	echo 1 >/sys/module/hibernate/parameters/pm_test_delay 2>/dev/null || true
	for level in devices platform processors core; do
		mark_log
		echo "$level" >"$POWER/pm_test"
		check "hibernation as far as \"$level\" and back" hibernate shutdown
		echo none >"$POWER/pm_test"
	done
}

# resume_from_disk - the second boot: the kernel that is running ends here, if the disk has
# a system that can go on.
resume_from_disk() {
	insmod "$FILES/virtio_blk.ko"
	loop_until test -b /dev/vda
	cat /sys/class/block/vda/dev >"$POWER/resume"
	echo "not ok - $TEST: the second boot found no system on the disk that goes on"
	dmesg | tail -n 20 | comment
	exit 1
}

# has_large_linear_map - the kernel said so of its CPU; it then uses large leaves.
has_large_linear_map() {
	dmesg | grep -E 'BBM Level 3'
}

hibernation() {
	start_programs
	check "there is swap on a disk" swap_on
	case $WHAT in
	*_bbm) check "the CPU may change the size of leaves of the linear map" has_large_linear_map ;;
	*)
		rehearse_disk
		all_is_right "after the rehearsals"
		;;
	esac
	! is_module || show_aliases
	check "hibernation that is read back without a boot between" hibernate test_resume
	all_is_right "after reading back without a boot"
	echo "# power: off"
	boot=$(cat /proc/sys/kernel/random/boot_id)
	check "hibernation, power off, boot, and on" hibernate shutdown
	check "the boot in which the programs were made goes on" \
		test "$(cat /proc/sys/kernel/random/boot_id)" = "$boot"
	all_is_right "after power off"
	end_programs
}

# --- kexec and crash dump ----------------------------------------------------

# fetch_kernel - the kernel and the initial files of this boot, from two disks.
fetch_kernel() {
	insmod "$FILES/virtio_blk.ko" && loop_until test -b /dev/vdb &&
		cat /dev/vda >/tmp/vmlinuz && cat /dev/vdb >/tmp/initrd
}

# load_kernel HOW WORD... - for the second kernel, with WORD... on its command line.
load_kernel() {
	how=$1
	shift
	"$FILES/kexec/run" kexec "$how" /tmp/vmlinuz --initrd=/tmp/initrd \
		--append="$(sed 's/crashkernel=[^ ]*//' /proc/cmdline) $*"
}

# has_word WORD - on the kernel's command line.
has_word() {
	grep -qw -- "$1" /proc/cmdline
}

kexec_away() {
	start_programs
	check "the disks have the kernel and the initial files" fetch_kernel
	check "kexec loads the same kernel" load_kernel -l power_second
	check "a kernel is loaded" grep -q 1 /sys/kernel/kexec_loaded
	echo "# power: kexec"
	"$FILES/kexec/run" kexec -e
	check "kexec -e does not return" false
}

kexec_arrived() {
	check "the second kernel is there" has_word power_second
	start_programs
	all_is_right "in the second kernel"
	end_programs
}

# list_dumped - words "PHYSICAL:LENGTH:DIGEST" of images that lie in one page each.
list_dumped() {
	while read -r id address length; do
		echo "$address" >"$WALK/walk"
		physical=$(sed -n 's/.* pa=\(0x[0-9a-f]*\).*/\1/p' "$WALK/walk")
		[ $((physical % 4096 + length)) -le 4096 ] || continue
		echo "$physical:$length:$(md5sum <"$WORK/images/$id" | cut -d' ' -f1)"
	done <"$WORK/programs" | head -n "$DUMPED"
}

crash() {
	start_programs
	check "the disks have the kernel and the initial files" fetch_kernel
	list_dumped >"$WORK/dumped"
	check "$DUMPED images lie in one page each" test "$(wc -l <"$WORK/dumped")" -eq "$DUMPED"
	comment <"$WORK/dumped"
	check "kexec loads the same kernel for a crash" \
		load_kernel -p maxcpus=1 reset_devices power_second "power_dumped=$(paste -sd, "$WORK/dumped")"
	check "a kernel for a crash is loaded" grep -q 1 /sys/kernel/kexec_crash_loaded
	echo "# power: crash"
	sync
	sleep 1
	echo c >/proc/sysrq-trigger
	sleep 60
	check "the kernel does not outlive its crash" false
}

# bytes_at FILE PHYSICAL LENGTH - memory of the kernel that crashed.
bytes_at() {
	found=$(segment_of "$1" "$2" "$3") || return
	dd if="$1" iflag=skip_bytes,count_bytes bs=4096 count="$3" 2>/dev/null \
		skip=$((${found%% *} + $2 - ${found##* }))
}

# in_the_dump FILE PHYSICAL:LENGTH:DIGEST - FILE has this image.
in_the_dump() {
	IFS=: read -r physical_wanted length digest <<WORDS
$2
WORDS
	bytes_at "$1" "$physical_wanted" "$length" >"$WORK/found" || return
	echo "wanted $digest of $length bytes, found $(md5sum <"$WORK/found"):"
	od -A x -t x4 "$WORK/found" | head -n 4
	[ "$(md5sum <"$WORK/found" | cut -d' ' -f1)" = "$digest" ]
}

# dump_to_its_end - the whole dump can be read, all the bytes of its size.
dump_to_its_end() {
	size=$(stat -c %s /proc/vmcore)
	dd if=/proc/vmcore of=/dev/null bs=4096 2>"$WORK/dd" || return
	cat "$WORK/dd"
	# Whole pages only: a part of one does not count.
	got=$(($(sed -n 's/^\([0-9]*\)+[0-9]* records in/\1/p' "$WORK/dd") * 4096))
	echo "size $size, read $got"
	[ "$size" -gt 100000000 ] && [ "$got" -eq "$size" ]
}

crash_arrived() {
	check "the second kernel is there" has_word power_second
	check "there is a dump" test -s /proc/vmcore
	check "the dump can be read to its end" dump_to_its_end
	number=0
	for image in $(sed -n 's/.*power_dumped=\([^ ]*\).*/\1/p' /proc/cmdline | tr , ' '); do
		number=$((number + 1))
		check "the dump has the bytes of image $number" in_the_dump /proc/vmcore "$image"
	done
	check "the dump was asked for $DUMPED images" test "$number" -eq "$DUMPED"
}

# --- which part --------------------------------------------------------------

! has_word power_second || SIDE_NAME=$SIDE.second
start_test "$WHAT.${SIDE_NAME:-$SIDE}"
need_tool hold_progs prog_bytes
case $WHAT in
freeze) freeze ;;
hibernation | hibernation_*)
	! has_word power_resume || resume_from_disk
	hibernation
	;;
kexec)
	! has_word power_second || { kexec_arrived; finish_test; }
	kexec_away
	;;
crash)
	! has_word power_second || { crash_arrived; finish_test; }
	crash
	;;
esac
finish_test
