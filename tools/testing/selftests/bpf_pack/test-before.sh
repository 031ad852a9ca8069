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

# The trampoline of a program that stays gets a new image whenever another one
# comes to the same function or leaves it; that image is made by whoever serves
# then.
shares_trampoline() {
	"$TOOLS/run_progs" fentry kprobe tracepoint
}

rmmod_now() {
	rmmod bpf_pack
}

# images_of LABEL - where the images of a hold_progs of this name began, sorted. All
# have the same number of digits.
images_of() {
	sed -n 's/^image \(0x[0-9a-f]*\) .*/\1/p' "$WORK/hold.$1" | sort
}

# The stock allocator takes the first place that fits: what was given back to it
# is where the next programs go. Not to the byte: libbpf probes the kernel with
# programs of its own, which are freed some time later.
same_place() {
	lowest=$(images_of "$1" | head -n 1)
	highest=$(images_of "$1" | tail -n 1)
	first=$(images_of "$2" | head -n 1)
	echo "$1 was at $lowest to $highest, $2 is from $first on"
	[ $((first)) -ge $((lowest - 1024)) ] && [ $((first)) -le $((highest)) ]
}

check "programs are made on the stock kernel" hold_start old --count 20 --attach fentry --attach kprobe --attach tracepoint
old=$HOLDER
check "programs that go before the module" hold_start early --count 20
early=$HOLDER
load_walk || true
check "insmod" load_pack
check "none of their images is ours" images_are 0
check "some end while the module is there, right to the last" hold_stop "$early"
sleep 1
check "freeing them changes none of our counters" images_are 0
freed=$(status_value images_freed)
check "others attach to the same functions and leave" shares_trampoline
check "the old trampoline has an image of ours now" loop_until images_are 1
check_fails "so rmmod is refused" 'in use|busy|temporarily unavailable' rmmod_now
check "the old ones end, right to the last" hold_stop "$old"
check "and with them the last image" loop_until images_are 0
check "images were freed since" test "$(status_value images_freed)" -gt "$freed"
check "new programs are served" hold_start new --count 3
check "3 images live" loop_until images_are 3
check "they end" hold_stop "$HOLDER"
check "rmmod" unload_pack
check "programs after rmmod" hold_start late --count 3 --attach fentry --attach kprobe --attach tracepoint
check "they are where the old ones were: the stock allocator got that memory back" same_place old late
check "they end too" hold_stop "$HOLDER"
finish_test
