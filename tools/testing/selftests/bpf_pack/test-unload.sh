#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# rmmod is refused while an image of ours lives and succeeds afterwards (I7), in 20
# rounds, while programs made before insmod are attached and run.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

ROUNDS=${ROUNDS:-20}

start_test unload
need_tool hold_progs
need_module bpf_pack

# round_of ROUND - starts programs, of another kind in every second round, so that the
# kernel frees in all its ways. None is on the function of the programs made before: they
# would share a trampoline, which would be ours from then on.
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
	if rmmod bpf_pack 2>"$WORK/rmmod.log"; then
		echo "round $1: rmmod was accepted while images live" && return 1
	fi
	grep -qiE "$IN_USE" "$WORK/rmmod.log" || {
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

check "attached programs work on the stock kernel" hold_start firing --count 10 --attach fentry --attach kprobe --attach tracepoint
firing=$HOLDER
check "$ROUNDS rounds: insmod, rmmod refused while images live, rmmod succeeds" all_rounds
check "the attached programs ran all the time, with right results" hold_stop "$firing"

check "insmod succeeds after the rounds" load_pack
check "a program works in a pack" hold_start last --count 1
check_fails "rmmod is refused while the program lives" "$IN_USE" rmmod bpf_pack
check "the module stays loaded after the refusal" is_loaded bpf_pack
check "the program ends, with right results" hold_stop "$HOLDER"
check "rmmod succeeds after the program" unload_pack
finish_test
