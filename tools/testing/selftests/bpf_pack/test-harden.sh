#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# With net.core.bpf_jit_harden=2 the JIT blinds constants and kallsyms hides images:
# programs of all kinds still work in packs.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test harden
need_tool run_progs
need_module bpf_pack
load_walk || true

check "net.core.bpf_jit_harden can be set to 2" set_setting net.core.bpf_jit_harden 2
check "insmod succeeds" load_pack
# Without the large ones: the time to blind constants grows with the square of a
# program's length.
# shellcheck disable=SC2046 # a list of names
run_cases "hardened" "$TOOLS/run_progs" $("$TOOLS/run_progs" --list | grep -v over_)
check "no image is left" loop_until images_are 0
check "rmmod succeeds" unload_pack
finish_test
