#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# When the JIT fails, before or after it got memory, the program runs in the interpreter
# and no image or charge is left, with the module as without it (I8, I9).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test jitfail
need_tool jit_fail
need_module bpf_pack

nothing_reserved() {
	[ "$(status_value reserved_images)" -eq 0 ] && images_are 0
}

run_cases "stock kernel" "$TOOLS/jit_fail"
check "insmod succeeds" load_pack
run_cases "in packs" "$TOOLS/jit_fail"
check "no image is reserved or live" loop_until nothing_reserved
check "status counts no bad call" test "$(status_value bad_calls)" -eq 0
check "rmmod succeeds" unload_pack
finish_test
