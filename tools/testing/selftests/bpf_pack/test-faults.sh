#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What goes wrong while the module is set up ends in a clear message and a
# working stock kernel (I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test faults
need_tool run_progs
need_module bpf_pack bpf_pack_test bpf_pack_holder
load_walk || true

SAMPLE='socket_filter fentry subprograms classic_socket'

# said TEXT - the kernel's log has it since the mark.
said() {
	log_since_mark | grep -F "$1" || {
		log_since_mark
		return 1
	}
}

# stock_works - programs load and run without the module.
stock_works() {
	! is_loaded bpf_pack || return 1
	# shellcheck disable=SC2086 # a list of names
	"$TOOLS/run_progs" --expect stock $SAMPLE
}

# refused DESCRIPTION MESSAGE [PARAMETER]... - insmod fails and says why.
refused() {
	what=$1 message=$2
	shift 2
	mark_log
	check_fails "$what: insmod fails" 'insmod|insert' load_test_pack "$@"
	check "$what: the log says why" said "$message"
	check "$what: the stock allocator works" stock_works
}

# shellcheck disable=SC2016 # quotes of the message
refused "a missing symbol" 'this kernel has no symbol `bpf_pack_no_such_symbol`' fault=1
if [ "$(grep -c ' init_once$' /proc/kallsyms)" -gt 1 ]; then
	# shellcheck disable=SC2016 # quotes of the message
	refused "a symbol of which there are several" 'symbols `init_once`: no telling which is meant' fault=3
else
	skip_case "a symbol of which there are several" "this kernel has not two symbols init_once"
fi
# What the proof does not see come through a hook, as if that were inlined somewhere.
fault=4
for function in bpf_prog_pack_alloc bpf_jit_binary_pack_finalize bpf_prog_pack_free; do
	refused "the JIT does not come through $function" "does not come through the hook on $function" fault="$fault"
	fault=$((fault + 1))
done
# The last one that is hooked, with all others to be put back, and one before it.
for function in bpf_prog_pack_alloc bpf_jit_binary_pack_finalize; do
	check "another user holds $function" insmod "$(module bpf_pack_holder)" function="$function"
	refused "$function held" "$function is held by another user of ftrace"
	check "the other user leaves" rmmod bpf_pack_holder
done
refused "near_packs out of range" 'parameter near_packs=129: must be from 0 to 128' near_packs=129
refused "align no power of two" 'parameter align=96: must be a power of two' align=96

check "no memory for packs: insmod" load_test_pack fault=2
# shellcheck disable=SC2086
run_cases "no memory for packs" "$TOOLS/run_progs" --expect stock $SAMPLE
check "status counts what went to the stock allocator" \
	test "$(status_value to_stock_no_memory)" -gt 0
check "no image was served" test "$(images_served)" -eq 0
check "rmmod" unload_pack
check "insmod works after all of it" load_pack
# shellcheck disable=SC2086
run_cases "at last" "$TOOLS/run_progs" $SAMPLE
check "rmmod at last" unload_pack
finish_test
