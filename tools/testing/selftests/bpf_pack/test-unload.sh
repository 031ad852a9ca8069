#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# rmmod is refused while an image of ours lives and accepted afterwards (I7), 20
# times over, while programs made before are attached and firing.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

ROUNDS=${ROUNDS:-20}

start_test unload
need_tool hold_progs
need_module bpf_pack

rmmod_now() {
	rmmod bpf_pack
}

# Programs of other kinds each time, so that each way to free is there. None is
# on the function of the programs made before: they would share a trampoline,
# which would be ours from then on.
round_of() {
	case $(($1 % 2)) in
	0) hold_start "round$1" --count 3 ;;
	1) hold_start "round$1" --count 1 --attach fexit --attach kprobe ;;
	esac
}

one_round() {
	# shellcheck disable=SC2119 # no parameters
	load_pack || return
	round_of "$1" || return
	if rmmod_now 2>"$WORK/rmmod.log"; then
		echo "round $1: rmmod was accepted while images live" && return 1
	fi
	grep -qiE 'in use|busy|temporarily unavailable' "$WORK/rmmod.log" || {
		cat "$WORK/rmmod.log"
		return 1
	}
	is_loaded bpf_pack || return
	hold_stop "$HOLDER" || return
	unload_pack
}

all_rounds() {
	round=0
	while [ "$round" -lt "$ROUNDS" ]; do
		one_round "$round" || return 1
		round=$((round + 1))
	done
}

check "programs are attached on the stock kernel" hold_start firing --count 10 --attach fentry --attach kprobe --attach tracepoint
firing=$HOLDER
check "$ROUNDS rounds: insmod, rmmod refused while images live, rmmod accepted" all_rounds
check "the attached programs fired all the while" hold_stop "$firing"

check "insmod for the last time" load_pack
check "a program lives" hold_start last --count 1
check_fails "rmmod is refused" 'in use|busy|temporarily unavailable' rmmod_now
check "the module is still there" is_loaded bpf_pack
check "the program ends, right to the last" hold_stop "$HOLDER"
check "rmmod is accepted" unload_pack
finish_test
