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
need_tool load_functions run_progs
need_module bpf_pack bpf_pack_registrar
load_walk || true

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

has_open_load() {
	[ "$(of_registrar open_loads)" -gt 0 ]
}

# waited_for WHAT - rmmod began with some requests or loads in flight and ended with none.
waited_for() {
	log_since_mark | grep -E "unregisters with .*[1-9][0-9]* $1" &&
		log_says "unregistered with 0 requests asleep, 0 loads open"
}

# leaves_while CONDITION WHAT COMMAND... - it unregisters while COMMAND is in it. Between two
# requests of COMMAND nothing is, so that this may need several attempts.
leaves_while() {
	condition=$1 what=$2
	shift 2
	for _ in 1 2 3 4 5; do
		mark_log
		"$@" >"$WORK/inside" 2>&1 &
		inside=$!
		loop_until "$condition" && rmmod bpf_pack_registrar || return
		wait "$inside" || {
			cat "$WORK/inside"
			return 1
		}
		! waited_for "$what" || return 0
		# shellcheck disable=SC2086 # it may be two words
		register $PARAMETERS || return
	done
	rmmod bpf_pack_registrar
	return 1
}

# come_and_go - the allocator that refuses, twenty times.
come_and_go() {
	turns=0
	while [ "$turns" -lt 20 ]; do
		register && rmmod bpf_pack_registrar || return
		turns=$((turns + 1))
	done
}

# keep_loading - programs of several functions, from several tasks, until $WORK/enough is there.
keep_loading() {
	until [ -e "$WORK/enough" ]; do
		"$TOOLS/load_functions" 5 20 4 || return
	done
}

# loaded_well PID - has that end; all results were right.
loaded_well() {
	touch "$WORK/enough"
	wait "$1" || {
		cat "$WORK/running"
		return 1
	}
}

has_served() {
	[ "$(images_served)" -gt 0 ]
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

# The JIT's sites change, and its loads go on.
keep_loading >"$WORK/running" 2>&1 &
running=$!
check "allocators come and go while programs are loaded" come_and_go
check "bpf_pack registers while programs are loaded" load_pack
check "bpf_pack serves some of them" loop_until has_served
check "the programs had right results" loaded_well "$running"
check "bpf_pack unregisters after them" unload_pack

PARAMETERS='pause_ms=10000'
check "one that sleeps is registered" register $PARAMETERS
check "it unregisters while a load sleeps in it, and waits for that" \
	leaves_while is_asleep 'requests asleep' "$TOOLS/run_progs" --expect stock socket_filter
PARAMETERS='pause_ms=3000 loads=1'
# shellcheck disable=SC2086 # two words
check "one that is told of loads is registered" register $PARAMETERS
check "it unregisters in the middle of a load of several functions, and is told of its end" \
	leaves_while has_open_load 'loads open' "$TOOLS/load_functions" 9 1
finish_test
