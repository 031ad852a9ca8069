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
# The kernel takes time quadratic in the program's length to blind constants.
# shellcheck disable=SC2046 # a list of names
run_cases "hardened" "$TOOLS/run_progs" $("$TOOLS/run_progs" --list | grep -v over_)
check "no image stayed behind" loop_until images_are 0
check "rmmod" unload_pack
finish_test
