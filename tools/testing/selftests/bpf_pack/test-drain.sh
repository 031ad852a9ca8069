#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# After "drain" new images go to the stock allocator, so that the module can be removed
# from a machine on which programs come and go; "wait" waits until it can (I5, I7, I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test drain
need_tool run_progs hold_progs
need_module bpf_pack
load_walk || true

SAMPLE='socket_filter fentry subprograms freplace struct_ops classic_socket'
ROUNDS=4

# wait_start - writes "wait" to control in the background, as process WAITER.
wait_start() {
	rm -f "$WORK/waited"
	{ control wait && touch "$WORK/waited"; } 2>"$WORK/wait.log" &
	WAITER=$!
	HOLDERS="$HOLDERS $WAITER"
}

has_waited() {
	cat "$WORK/wait.log"
	[ -e "$WORK/waited" ]
}

still_waits() {
	! has_waited && kill -0 "$WAITER"
}

# was_interrupted - the signal ended the waiter, whose wait was not over.
was_interrupted() {
	status=0
	wait "$WAITER" || status=$?
	echo "status: $status"
	! has_waited && [ "$status" -eq $((128 + 15)) ]
}

# wait_and_leave ROUND - rmmod follows the wait at once: the worker that freed the last
# image may still be in the module.
wait_and_leave() {
	# shellcheck disable=SC2119 # no parameters
	load_pack || return
	hold_start "round$1" --count 3 || return
	control drain
	hold_stop "$HOLDER" || return
	control wait && rmmod bpf_pack
}

all_rounds() {
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		wait_and_leave "$round" || return 1
		round=$((round + 1))
	done
}

check "insmod succeeds" load_pack
check "2 programs work in packs" hold_start old --count 2
old=$HOLDER
check "the 2 programs have 2 images in packs" loop_until images_are 2
check "drain: control takes the word" control drain
served=$(images_served)
# shellcheck disable=SC2086 # a list of names
run_cases "while draining" "$TOOLS/run_progs" --expect stock $SAMPLE
check "drain: packs serve no image" test "$(images_served)" -eq "$served"
check "drain: status counts what went to the stock allocator" \
	test "$(status_value to_stock_draining)" -gt 0
check "serve: control takes the word" control serve
# shellcheck disable=SC2086
run_cases "serving again" "$TOOLS/run_progs" $SAMPLE
check "drain after serve: control takes the word" control drain
check "drain after serve: 2 new programs work" hold_start new --count 2
new=$HOLDER
check "drain after serve: the programs in packs end, with right results" hold_stop "$old"
check "drain after serve: rmmod succeeds while the new programs live" unload_pack
check "the programs that outlive rmmod end, with right results" hold_stop "$new"

check "wait: insmod succeeds" load_pack
check "wait: it ends at once if there is no image" control wait
check "wait: programs work in packs" hold_start waited --count 3 --attach kprobe
check "wait: control takes \"drain\" before" control drain
wait_start
sleep 1
check "wait: it goes on while the programs live" still_waits
check_fails "wait: rmmod is refused while it goes on" "$IN_USE" rmmod bpf_pack
check "wait: a signal is sent to the waiter" kill -TERM "$WAITER"
check "wait: the signal ends it early" was_interrupted
check "wait: images are left after the signal" test "$(status_value images)" -gt 0
wait_start
sleep 1
check "wait: a second one goes on while the programs live" still_waits
check "wait: the programs end, with right results" hold_stop "$HOLDER"
check "wait: it ends after the programs" loop_until has_waited
check "wait: rmmod succeeds after it at the first try" rmmod bpf_pack
check "wait: rmmod succeeds after it at the first try, in $ROUNDS rounds" all_rounds
finish_test
