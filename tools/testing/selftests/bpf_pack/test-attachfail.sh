#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Where hooking a function fails half-way, other CPUs may still be walking over
# what was registered for a moment: it is freed only after a wait, as ftrace does
# it when something is unregistered.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test attachfail
need_module bpf_pack bpf_pack_test bpf_pack_holder bpf_pack_watch

# seen COUNT - one of what the watch counts.
seen() {
	cat "/sys/module/bpf_pack_watch/parameters/$1"
}

# tried_whole REGISTRATIONS - insmod came so far each time; busybox's tries twice.
tried_whole() {
	echo "registrations: $(seen registered), wanted: a multiple of $1"
	[ "$(seen registered)" -gt 0 ] && [ $(($(seen registered) % $1)) -eq 0 ]
}

# watched DESCRIPTION REGISTRATIONS LOADER [PARAMETER]... - insmod fails after so
# many registrations, and each ends in a filter that is freed.
watched() {
	what=$1 registrations=$2
	shift 2
	check "$what: the watch begins" insmod "$(module bpf_pack_watch)"
	check_fails "$what: insmod fails" 'insmod|insert' "$@"
	check "$what: after $registrations registrations" tried_whole "$registrations"
	check "$what: as many filters were freed" test "$(seen freed)" -eq "$(seen registered)"
	check "$what: none of them without a wait" test "$(seen unwaited)" -eq 0
	check "$what: the watch ends" rmmod bpf_pack_watch
}

for function in bpf_prog_pack_free bpf_jit_binary_pack_finalize bpf_prog_pack_alloc; do
	check "another user holds $function" insmod "$(module bpf_pack_holder)" function="$function"
	case $function in
	bpf_prog_pack_free) registrations=1 ;;
	bpf_jit_binary_pack_finalize) registrations=2 ;;
	bpf_prog_pack_alloc) registrations=5 ;;
	esac
	watched "$function held" "$registrations" load_pack
	check "$function: the other user leaves" rmmod bpf_pack_holder
done
watched "no proof" 5 load_test_pack fault=5

# All of it can still be had.
check "insmod" load_pack
check "rmmod" unload_pack
finish_test
