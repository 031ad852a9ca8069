#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# If insmod fails, the log says why, and the stock kernel works as before (I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test faults
need_tool run_progs
need_module bpf_pack bpf_pack_test bpf_pack_holder
load_walk || true

SAMPLE='socket_filter fentry subprograms classic_socket'

# stock_works - programs load and run without the module.
stock_works() {
	! is_loaded bpf_pack || return 1
	# shellcheck disable=SC2086 # a list of names
	"$TOOLS/run_progs" --expect stock $SAMPLE
}

# refused REASON MESSAGE [PARAMETER]... - insmod fails, and MESSAGE says why.
refused() {
	what=$1 message=$2
	shift 2
	mark_log
	check_fails "$what: insmod fails" 'insmod|insert' load_test_pack "$@"
	check "$what: the log says why" log_says "$message"
	check "$what: programs work without the module" stock_works
}

# shellcheck disable=SC2016 # quotes of the message
refused "symbol missing" 'this kernel has no symbol `bpf_pack_no_such_symbol`' fault=1
if [ "$(grep -c ' init_once$' /proc/kallsyms)" -gt 1 ]; then
	# shellcheck disable=SC2016 # quotes of the message
	refused "several symbols of one name" 'symbols `init_once`: no telling which is meant' fault=3
else
	skip_case "several symbols of one name" "this kernel has only one symbol init_once"
fi
# The proof does not see a call through the hook, as if the function were inlined.
fault=4
for function in bpf_prog_pack_alloc bpf_jit_binary_pack_finalize bpf_prog_pack_free; do
	refused "$function not called" "does not come through the hook on $function" fault="$fault"
	fault=$((fault + 1))
done
# The function that is hooked last, when all other hooks are in place, and an earlier one.
for function in bpf_prog_pack_alloc bpf_jit_binary_pack_finalize; do
	check "$function held: insmod of its holder succeeds" insmod "$(module bpf_pack_holder)" function="$function"
	refused "$function held" "$function is held by another user of ftrace"
	check "$function held: rmmod of its holder succeeds" rmmod bpf_pack_holder
done
refused "near_packs out of range" 'parameter near_packs=129: must be from 0 to 128' near_packs=129
refused "align no power of two" 'parameter align=96: must be a power of two' align=96

check "no memory for packs: insmod succeeds" load_test_pack fault=2
# shellcheck disable=SC2086
run_cases "no memory for packs" "$TOOLS/run_progs" --expect stock $SAMPLE
check "no memory for packs: status counts what went to the stock allocator" \
	test "$(status_value to_stock_no_memory)" -gt 0
check "no memory for packs: no image is in packs" test "$(images_served)" -eq 0
check "no memory for packs: rmmod succeeds" unload_pack
check "without a fault: insmod succeeds" load_pack
# shellcheck disable=SC2086
run_cases "without a fault" "$TOOLS/run_progs" $SAMPLE
check "without a fault: rmmod succeeds" unload_pack
finish_test
