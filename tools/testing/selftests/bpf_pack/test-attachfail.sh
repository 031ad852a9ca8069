#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# An insmod that fails half-way takes its hooks away again. Other CPUs may still be in
# code that uses their ftrace_ops: the module frees these only after the waits with
# which ftrace itself unregisters one (I15).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/faults.sh
. "$DIR/shell/faults.sh"

start_test attachfail
! is_native || skip_all "this kernel calls the module, which redirects nothing"
need_module bpf_pack bpf_pack_test bpf_pack_holder bpf_pack_watch

# seen COUNT - one of the counts of bpf_pack_watch.
seen() {
	cat "/sys/module/bpf_pack_watch/parameters/$1"
}

# tried_whole REGISTRATIONS - each insmod made REGISTRATIONS registrations; busybox's insmod tries twice.
tried_whole() {
	echo "registrations: $(seen registered), wanted: a multiple of $1"
	[ "$(seen registered)" -gt 0 ] && [ $(($(seen registered) % $1)) -eq 0 ]
}

# watched REASON REGISTRATIONS LOADER [PARAMETER]... - insmod fails for REASON after so
# many registrations, and the filter of each is freed after a wait.
watched() {
	what=$1 registrations=$2
	shift 2
	check "$what: insmod of the watch succeeds" insmod "$(module bpf_pack_watch)"
	check_fails "$what: insmod of bpf_pack fails" 'insmod|insert' "$@"
	check "$what: each insmod registered as many hooks as it should: $registrations" tried_whole "$registrations"
	check "$what: as many filters were freed as registered" test "$(seen freed)" -eq "$(seen registered)"
	check "$what: no filter was freed without a wait" test "$(seen unwaited)" -eq 0
	check "$what: rmmod of the watch succeeds" rmmod bpf_pack_watch
}

for function in bpf_prog_pack_free bpf_jit_binary_pack_finalize bpf_prog_pack_alloc; do
	check "$function held: insmod of its holder succeeds" insmod "$(module bpf_pack_holder)" function="$function"
	case $function in
	bpf_prog_pack_free) registrations=1 ;;
	bpf_jit_binary_pack_finalize) registrations=2 ;;
	bpf_prog_pack_alloc) registrations=$(count_hooks) ;;
	esac
	watched "$function held" "$registrations" load_pack
	check "$function held: rmmod of its holder succeeds" rmmod bpf_pack_holder
done
check "the test build lists the points" list_faults
watched "proof fails" "$(count_hooks)" load_test_pack fault="$(fault proof-finalize)"

check "insmod succeeds after all failures" load_pack
check "rmmod succeeds after all failures" unload_pack
finish_test
