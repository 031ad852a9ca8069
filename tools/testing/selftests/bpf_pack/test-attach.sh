#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Trampolines and replacements that are out of branch range of the program to which
# they are attached (I5). The branch goes through the PLT in the program's image, which
# nobody may make writable (I1).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test attach
need_tool attach_far
! is_builtin || skip_all "bpf_pack is a part of this kernel"
need_module bpf_pack_test

# Packs near the kernel's text; packs anywhere; packs of smaller leaves, where the
# kernel's own way would work and leave a page writable for a while.
for layout in near_packs=16 near_packs=0 leaf=1 leaf=2; do
	check "$layout: insmod succeeds" load_test_pack "$layout"
	run_cases "$layout" "$TOOLS/attach_far"
	# With another layout the kernel's packs may be within reach of ours.
	# A kernel that calls the module makes them itself.
	if [ "$layout" = near_packs=0 ] && ! is_native; then
		check "$layout: the module made the far attachments" \
			test "$(status_value far_attachments)" -gt 0
	fi
	check "$layout: status counts no bad call" test "$(status_value bad_calls)" -eq 0
	check "$layout: rmmod succeeds" unload_pack
done
finish_test
