#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The main job, inside the guest: loads the same compiled BPF programs with
# bpftool before and after the module is inserted, runs them, and shows where
# each image is and which page-table leaf is behind its address.
set -u

PROGS=/kselftest/bpf_pack/progs
PINS=/sys/fs/bpf/demo
WALK=/sys/kernel/debug/bpf_pack_ptwalk/walk
STATUS=/sys/kernel/debug/bpf_pack/status
FORMAT='  %-16s %-14s %6s  %-18s  %-12s %13s  %s\n'
failed=0

fail() {
	echo "demo: $*"
	failed=1
}

# symbol NAME - the address of a kernel symbol, without 0x.
symbol() {
	awk -v name="$1" '$3 == name { print $1; exit }' /proc/kallsyms
}

# field NAME - a field of bpftool's description on standard input.
field() {
	sed -n "s/.*[\" ]$1[\"]*:* *\"*\([A-Za-z0-9_]*\).*/\1/p" | head -n 1
}

# leaf ADDRESS - which leaf maps it, read from the live page tables.
leaf() {
	echo "0x$1" >"$WALK"
	sed -n 's/.*leaf="\([^"]*\)".*/\1/p' "$WALK"
}

# distance ADDRESS - how far it is from the kernel's text, in MiB.
distance() {
	mib=$(((0x$1 - 0x$text) / 1048576))
	[ "$mib" -ge 0 ] || mib=$((-mib))
	[ "$mib" -lt 4096 ] && echo "$mib MiB" && return
	echo "$((mib / 1024)) GiB"
}

# load NAME - as a user would: bpftool loads, pins and attaches.
load() {
	case $1 in
	socket_filter | xdp | tc | subprogs) attach= ;;
	*) attach=autoattach ;;
	esac
	bpftool prog load "$PROGS/$1.bpf.o" "$PINS/$1" $attach || fail "bpftool cannot load $1"
}

# run NAME - runs the program once and says what came of it.
run() {
	case $1 in
	socket_filter | xdp | tc | subprogs)
		bpftool prog run pinned "$PINS/$1" data_in /tmp/packet |
			sed -n 's/.*Return value: \([0-9]*\).*/returned \1/p'
		;;
	*)
		# A test run of a tracing program calls the functions that these stand on.
		bpftool prog run name fentry data_in /tmp/packet >/dev/null 2>&1
		runs=$(bpftool prog show name "$1" | field run_cnt)
		[ "${runs:-0}" -gt 0 ] && echo "ran on $runs events"
		;;
	esac
}

# show NAME HOW WHAT - one row of the table; bpftool finds the program by HOW WHAT.
show() {
	info=$(bpftool prog show "$2" "$3")
	tag=$(echo "$info" | field tag)
	name=$(echo "$info" | field name)
	type=$(echo "$info" | sed -n 's/^[0-9]*: \([a-z_]*\) .*/\1/p')
	address=$(awk -v symbol="bpf_prog_${tag}_$name" '$3 == symbol { print $1; exit }' /proc/kallsyms)
	[ -n "$address" ] || {
		fail "no address for $1"
		return
	}
	result=$(run "$1")
	[ -n "$result" ] || fail "$1 did not run"
	# shellcheck disable=SC2059 # one format for all rows
	printf "$FORMAT" "$1" "$type" "$(echo "$info" | field jited)" "$address" "$(leaf "$address")" \
		"$(distance "$address")" "$result"
}

table() {
	# shellcheck disable=SC2059
	printf "$FORMAT" program type jited address 'mapped by' 'from kernel' result
	for program in socket_filter xdp tc subprogs tracepoint kprobe fentry fexit; do
		load "$program"
	done
	for program in socket_filter xdp tc subprogs; do
		show "$program" pinned "$PINS/$program"
	done
	for program in tracepoint kprobe fentry fexit; do
		show "$program" name "$program"
	done
}

unload() {
	rm -rf "$PINS"
	# Programs are freed after a grace period, by a worker.
	for program in tracepoint kprobe fentry fexit; do
		for _ in $(seq 150); do
			[ -n "$(bpftool prog show name "$program" 2>/dev/null)" ] || break
			sleep 0.2
		done
	done
	mkdir -p "$PINS"
}

images() {
	sed -n 's/^images: //p' "$STATUS"
}

wait_until_empty() {
	for _ in $(seq 300); do
		[ "$(awk '$1 == "bpf_pack" { print $3 }' /proc/modules)" != 0 ] || return 0
		sleep 0.2
	done
	return 1
}

text=$(symbol _stext)
printf '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef' >/tmp/packet
echo 1 >/proc/sys/kernel/bpf_stats_enabled
mkdir -p "$PINS"
insmod /bpf_pack_ptwalk.ko || fail "cannot insert the page-table walker"

echo "Kernel $(uname -r), $(nproc) CPUs, unmodified."
echo
echo 'Before: the stock allocator.'
table
unload
echo
echo '# insmod bpf_pack.ko'
insmod /bpf_pack.ko || fail "cannot insert bpf_pack.ko"
echo
echo 'After: the same programs, loaded again.'
table
echo
sed -n 's/^pack 0x/  pack 0x/p' "$STATUS"
echo "  $(images) images: programs, subprograms and trampolines"
echo
echo '# rmmod bpf_pack   (programs are alive)'
/bin/rmmod bpf_pack && fail 'the module could be removed while images were alive'
unload
wait_until_empty || fail 'images were left behind'
echo
echo '# rmmod bpf_pack   (programs are gone)'
if /bin/rmmod bpf_pack; then
	echo 'removed'
else
	fail 'the module could not be removed'
fi
exit "$failed"
