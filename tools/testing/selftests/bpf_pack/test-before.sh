#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Programs made before insmod keep working while the module is there, and are
# freed to the stock allocator, which made them (I5).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test before
need_tool hold_progs run_progs
need_module bpf_pack

# When a program is attached to a function or detached from it, the kernel makes the
# function's trampoline anew, also for the programs that stay. Whoever serves at that
# time makes its image.
shares_trampoline() {
	"$TOOLS/run_progs" fentry kprobe tracepoint
}

# same_place LABEL LABEL - the second hold_progs has its images where the first one had
# them: the stock allocator takes the first place that fits. Not to the byte: libbpf
# probes the kernel with programs of its own, which are freed some time later.
same_place() {
	# All addresses have the same number of digits.
	lowest=$(held_images "$1" | sort | sed -n '1s/ .*//p')
	highest=$(held_images "$1" | sort | sed -n '$s/ .*//p')
	first=$(held_images "$2" | sort | sed -n '1s/ .*//p')
	echo "$1 was at $lowest to $highest, $2 is from $first on"
	[ $((first)) -ge $((lowest - 1024)) ] && [ $((first)) -le $((highest)) ]
}

check "programs that outlive insmod and attach are made on the stock kernel" hold_start old --count 20 --attach fentry --attach kprobe --attach tracepoint
old=$HOLDER
check "programs that end before rmmod are made on the stock kernel" hold_start early --count 20
early=$HOLDER
load_walk || true
check "insmod succeeds" load_pack
check "no image of the earlier programs is counted as ours" images_are 0
check "earlier programs end under the module, with right results" hold_stop "$early"
sleep 1
check "freeing earlier programs changes none of our counters" images_are 0
freed=$(status_value images_freed)
check "other programs attach to the same functions and leave" shares_trampoline
check "the earlier programs' trampoline has an image of ours now" loop_until images_are 1
check_fails "rmmod is refused while that trampoline lives" "$IN_USE" rmmod bpf_pack
check "the earlier attached programs end, with right results" hold_stop "$old"
check "the last image goes with the earlier attached programs" loop_until images_are 0
check "status counts that their trampoline was freed" test "$(status_value images_freed)" -gt "$freed"
check "new programs are made under the module" hold_start new --count 3
check "the 3 new programs have 3 images in packs" loop_until images_are 3
check "the new programs end, with right results" hold_stop "$HOLDER"
check "rmmod succeeds" unload_pack
check "programs are made after rmmod" hold_start late --count 3 --attach fentry --attach kprobe --attach tracepoint
check "they are where the earlier ones were: the stock allocator got that memory back" same_place old late
check "the programs made after rmmod end, with right results" hold_stop "$HOLDER"
finish_test
