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

# start_programs - small filters, filters of 48 KB that fill more than one pack, and
# attached programs that fire all the time. All check their results.
start_programs() {
	check "insmod of the page-table walker succeeds" load_walk
	if is_module; then
		check "insmod succeeds" load_pack
	fi
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	check "large filters run" hold_start large --count 50 --insns 4000
	LARGE=$HOLDER
	check "20 filters and 3 attached programs run" \
		hold_start small --count 20 --attach fentry --attach kprobe --attach tracepoint
	SMALL=$HOLDER
	bytes_of_programs >"$WORK/bytes"
	check "the bytes of all programs can be read" test "$(wc -l <"$WORK/bytes")" -ge 73
	if is_module; then
		check "the programs fill more than one pack" test "$(status_value packs)" -ge 2
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

# no_error_counted - status counts neither wrong calls nor copies that failed.
no_error_counted() {
	status_keys bad_calls && status_keys copy_errors
	[ "$(status_value bad_calls)" -eq 0 ] && [ "$(status_value copy_errors)" -eq 0 ]
}

# others_load - programs of other kinds are loaded, run and freed, by the allocator that
# serves here.
others_load() {
	before=$(is_module && images_served || echo 0)
	"$TOOLS/run_progs" --expect "$(is_module && echo pack || echo stock)" \
		socket_filter xdp subprogs fentry tracepoint || return
	! is_module || [ "$(images_served)" -gt "$before" ]
}

# all_is_right WHEN
all_is_right() {
	check "$1: the programs go on and their results are right" loop_until fires_on "$(fired)"
	check "$1: every program has the bytes that it had" bytes_stayed
	check "$1: nothing is writable and executable" answers_ok check
	if is_module; then
		check "$1: the books are right" control check
		check "$1: status counts no errors" no_error_counted
		check "$1: each pack is sealed: one 2 MiB leaf, no writable alias, linear alias invalid" are_sealed
	fi
	check "$1: other programs are loaded, run and freed" others_load
}

# end_programs
end_programs() {
	check "the small programs end, with right results all the time" hold_stop "$SMALL"
	check "the large programs end, with right results all the time" hold_stop "$LARGE"
	if is_module; then
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
	all_is_right "before"
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
		echo "$(cat /sys/class/block/vda/dev)" >"$POWER/resume"
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

hibernation() {
	start_programs
	check "there is swap on a disk" swap_on
	all_is_right "before"
	rehearse_disk
	all_is_right "after the rehearsals"
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
	all_is_right "before"
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
	all_is_right "before"
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

# number_at FILE OFFSET BYTES - an unsigned number in it.
number_at() {
	dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | od -An -t "u$3" | tr -d ' '
}

# bytes_at PHYSICAL LENGTH - memory of the kernel that crashed, found by the program
# headers of the dump.
bytes_at() {
	segment=$(number_at /proc/vmcore 32 8)
	segments=$(number_at /proc/vmcore 56 2)
	while [ "$segments" -gt 0 ]; do
		if [ "$(number_at /proc/vmcore "$segment" 4)" -eq 1 ]; then
			offset=$(number_at /proc/vmcore $((segment + 8)) 8)
			physical=$(number_at /proc/vmcore $((segment + 24)) 8)
			size=$(number_at /proc/vmcore $((segment + 32)) 8)
			if [ $(($1)) -ge "$physical" ] && [ $(($1 + $2)) -le $((physical + size)) ]; then
				dd if=/proc/vmcore iflag=skip_bytes,count_bytes bs=4096 \
					skip=$((offset + $1 - physical)) count="$2" 2>/dev/null
				return
			fi
		fi
		segment=$((segment + 56)) segments=$((segments - 1))
	done
	echo "no segment has $1" >&2
	return 1
}

# in_the_dump PHYSICAL:LENGTH:DIGEST
in_the_dump() {
	IFS=: read -r physical_wanted length digest <<WORDS
$1
WORDS
	bytes_at "$physical_wanted" "$length" >"$WORK/found" || return
	echo "wanted $digest of $length bytes, found $(md5sum <"$WORK/found"):"
	od -A x -t x4 "$WORK/found" | head -n 4
	[ "$(md5sum <"$WORK/found" | cut -d' ' -f1)" = "$digest" ]
}

# dump_to_its_end - the whole dump can be read, all the bytes of its size.
dump_to_its_end() {
	size=$(stat -c %s /proc/vmcore) got=$(wc -c </proc/vmcore) || return
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
		check "the dump has the bytes of image $number" in_the_dump "$image"
	done
	check "the dump was asked for $DUMPED images" test "$number" -eq "$DUMPED"
	check "makedumpfile leaves out free and user pages" makedumpfile_small
}

# makedumpfile_small - as Debian's kdump-tools calls it.
makedumpfile_small() {
	"$FILES/kexec/run" makedumpfile -d 31 -E /proc/vmcore /tmp/dump && ls -l /tmp/dump
}

# --- which part --------------------------------------------------------------

start_test "$WHAT.$SIDE"
need_tool hold_progs run_progs prog_bytes
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
