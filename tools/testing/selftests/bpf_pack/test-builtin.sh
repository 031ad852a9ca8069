#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module as a part of the kernel: it serves from boot on, and draining gives new images
# to the kernel's own allocator, as rmmod would.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test builtin
is_builtin || skip_all "bpf_pack is no part of this kernel"
need_tool run_progs

# has_pack - it made its first pack; that it serves is seen below.
has_pack() {
	[ "$(status_value regions_made)" -gt 0 ]
}

# boot_parameters - the kernel's command line has them, as module parameters.
boot_parameters() {
	[ "$(cat /sys/module/bpf_pack/parameters/near_packs)" -eq 16 ]
}

check "the log of the boot says that the module serves the JIT" \
	sh -c "dmesg | grep -q 'bpf_pack: serving the BPF JIT'"
check "it made its first pack when it began" has_pack
check "its parameters are there" boot_parameters
run_cases "draining" "$TOOLS/run_progs" --expect stock socket_filter xdp fentry
check "it serves again" load_pack
run_cases "serving" "$TOOLS/run_progs" --expect pack socket_filter xdp fentry
check "no image is left, and the books are right" unload_pack
finish_test
