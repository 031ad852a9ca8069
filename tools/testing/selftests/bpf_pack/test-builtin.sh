#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module as a part of the kernel: it serves from boot on, and draining gives new images
# to the kernel's own allocator, as rmmod would.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

# The test's start has it drained.
mode_of_boot=$(status_value mode 2>/dev/null || true)
start_test builtin
is_builtin || skip_all "bpf_pack is no part of this kernel"
need_tool run_progs
load_walk || true

# has_pack - it made its first pack; that it serves is seen below.
has_pack() {
	[ "$(status_value regions_made)" -gt 0 ]
}

# far - the parameters of the boot place all packs anywhere.
far() {
	grep -q 'bpf_pack.near_packs=0' /proc/cmdline || {
		echo "this boot has no parameter of ours"
		return 1
	}
	packs
	[ "$(count_packs near)" -eq 0 ] && [ "$(count_packs far)" -gt 0 ]
}

check "the log of the boot says that the module serves the JIT" \
	sh -c "dmesg | grep -q 'bpf_pack: serving the BPF JIT'"
check "it made its first pack when it began" has_pack
check "it served before anybody asked for it" test "$mode_of_boot" = serve
run_cases "draining" "$TOOLS/run_progs" --expect stock socket_filter xdp fentry
check "it serves again" load_pack
run_cases "serving" "$TOOLS/run_progs" --expect pack socket_filter xdp fentry
check "its packs are where the kernel's command line says" far
check "no image is left, and the books are right" unload_pack
finish_test
