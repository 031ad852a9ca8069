#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# After "drain" new images go to the stock allocator, so that the module can
# leave a machine on which programs come and go; "wait" tells when.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test drain
need_tool run_progs hold_progs
need_module bpf_pack
load_walk || true

SAMPLE='socket_filter fentry subprograms freplace struct_ops classic_socket'
ROUNDS=4

# wait_start - waits in the background, as WAITER, until no image is left.
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

# was_interrupted - the waiter ended by the signal, and did not say that it is over.
was_interrupted() {
	status=0
	wait "$WAITER" || status=$?
	echo "status: $status"
	! has_waited && [ "$status" -eq $((128 + 15)) ]
}

# Right after the wait, with no second try: whoever freed the last image may still be
# on the way out.
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

check "insmod" load_pack
check "two programs live in packs" hold_start old --count 2
old=$HOLDER
check "2 images live" loop_until images_are 2
check "control takes \"drain\"" control drain
served=$(images_served)
# shellcheck disable=SC2086 # a list of names
run_cases "while draining" "$TOOLS/run_progs" --expect stock $SAMPLE
check "no image was served since" test "$(images_served)" -eq "$served"
check "status counts what went to the stock allocator" \
	test "$(status_value to_stock_draining)" -gt 0
check "control takes \"serve\"" control serve
# shellcheck disable=SC2086
run_cases "serving again" "$TOOLS/run_progs" $SAMPLE
check "control takes \"drain\" again" control drain
check "a program that comes while draining" hold_start new --count 2
new=$HOLDER
check "the old programs end, right to the last" hold_stop "$old"
check "rmmod, with the new one alive" unload_pack
check "the new program ends, right to the last" hold_stop "$new"

check "insmod, to wait" load_pack
check "waiting for nothing ends at once" control wait
check "programs live in packs" hold_start waited --count 3 --attach kprobe
check "control takes \"drain\" before a wait" control drain
wait_start
sleep 1
check "the wait goes on while they live" still_waits
check_fails "rmmod is refused meanwhile" 'in use|busy|temporarily' rmmod bpf_pack
check "a signal" kill -TERM "$WAITER"
check "ends it early" was_interrupted
check "images are still there" test "$(status_value images)" -gt 0
wait_start
sleep 1
check "another wait goes on" still_waits
check "the programs end, right to the last" hold_stop "$HOLDER"
check "then it ends" loop_until has_waited
check "rmmod after it, at the first try" rmmod bpf_pack
check "$ROUNDS rounds of waiting and removing, at the first try" all_rounds
finish_test
