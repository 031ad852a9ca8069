#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Trampolines and replacements that are out of branch range of the program they
# are attached to: through the PLT in its image, which nobody may make writable
# (I1).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test attach
need_tool attach_far
need_module bpf_pack_test

# The program near the kernel's text; all packs apart; packs of base pages, where
# the kernel's own way would work and leave a page writable for a while.
for layout in near_packs=16 near_packs=0 leaf=1 leaf=2; do
	check "$layout: insmod" load_test_pack "$layout"
	run_cases "$layout" "$TOOLS/attach_far"
	# Elsewhere the kernel may have put its own packs within reach of ours.
	if [ "$layout" = near_packs=0 ]; then
		check "$layout: far attachments were ours to make" \
			test "$(status_value far_attachments)" -gt 0
	fi
	check "$layout: no bad calls" test "$(status_value bad_calls)" -eq 0
	check "$layout: rmmod" unload_pack
done
finish_test
