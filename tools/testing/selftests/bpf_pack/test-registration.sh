#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A kernel that lets its JIT have a pack allocator has one at most, serves by itself what
# that one refuses, and lets it go only when no call is in it (native/).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test registration
is_native || skip_all "this kernel does not let its JIT have another allocator"
! is_builtin || skip_all "bpf_pack is a part of this kernel"
need_tool run_progs
need_module bpf_pack bpf_pack_registrar

# register [PARAMETER=VALUE]... - the allocator that refuses everything.
register() {
	insmod "$(module bpf_pack_registrar)" "$@"
}

# of_registrar COUNT - how many requests it had, or how many sleep in it.
of_registrar() {
	cat "/sys/module/bpf_pack_registrar/parameters/$1"
}

# was_asked - it had a request.
was_asked() {
	echo "requests: $(of_registrar requests)"
	[ "$(of_registrar requests)" -gt 0 ]
}

is_asleep() {
	[ "$(of_registrar sleeping)" -gt 0 ]
}

# waited_for_requests - rmmod began with a request asleep and ended with none.
waited_for_requests() {
	log_says "unregisters with 1 requests asleep" && log_says "unregistered with 0 requests asleep"
}

check_fails "an allocator without one of the operations is refused" 'invalid' register incomplete=1
check "an allocator that refuses everything is registered" register
run_cases "refused by it" "$TOOLS/run_progs" --expect stock socket_filter xdp fentry
check "it was asked before the kernel served" was_asked
check_fails "bpf_pack is refused beside it" 'busy' load_pack
check "the log says why" log_says "cannot register with the JIT, which has another allocator"
check "it unregisters" rmmod bpf_pack_registrar

check "bpf_pack registers after it" load_pack
check_fails "it is refused beside bpf_pack" 'busy' register
run_cases "served by bpf_pack" "$TOOLS/run_progs" --expect pack socket_filter xdp fentry
check "bpf_pack unregisters" unload_pack

check "one that sleeps is registered" register pause_ms=10000
mark_log
"$TOOLS/run_progs" --expect stock socket_filter >"$WORK/asleep" 2>&1 &
asleep=$!
check "a load sleeps in it" loop_until is_asleep
check "it unregisters meanwhile" rmmod bpf_pack_registrar
check "that waited for the load to leave it" waited_for_requests
wait "$asleep" || true
take_cases "asleep in it" <"$WORK/asleep"
finish_test
