#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# With net.core.bpf_jit_harden=2 constants are blinded and the kernel hides the
# names of images.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test harden
need_tool run_progs
need_module bpf_pack
load_walk || true

check "harden the JIT" set_setting net.core.bpf_jit_harden 2
check "insmod" load_pack
run_cases "hardened" "$TOOLS/run_progs"
check "no image stayed behind" loop_until live_is 0
check "rmmod" unload_pack
finish_test
