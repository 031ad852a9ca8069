#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Where 2 MiB leaves cannot be had, packs are made of 64 KiB runs, then of base
# pages; what status shows is what the page tables say. Also: placement.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test fallback
need_tool run_progs
need_module bpf_pack_test bpf_pack_ptwalk
load_walk

SAMPLE='socket_filter fentry subprograms'

# hold_one - keeps a program alive, so that its pack can be looked at.
hold_one() {
	hold_start one --count 1
}

# pack_line - what status says of the first pack.
pack_line() {
	grep '^pack 0x' "$STATUS" | head -n 1
}

# pack_is TEXT
pack_is() {
	pack_line
	pack_line | grep -qF "$1"
}

# walk_agrees - the page-table walker of its own finds the leaf that status names.
walk_agrees() {
	address=$(pack_line | sed 's/^pack \(0x[0-9a-f]*\)-.*/\1/')
	leaf=$(pack_line | sed 's/^[^:]*: \([^,]*\),.*/\1/')
	echo "$address" >"$WALK/walk"
	cat "$WALK/walk"
	grep -qF "leaf=\"$leaf\"" "$WALK/walk"
}

# layout DESCRIPTION LEAF PARAMETER... - the module loaded with parameters.
layout() {
	what=$1 leaf=$2
	shift 2
	check "$what: insmod" load_test_pack "$@"
	check "$what: a program" hold_one
	check "$what: status says $leaf" pack_is "$leaf"
	check "$what: so does a walk of the live page tables" walk_agrees
	check "$what: the linear alias is invalid" pack_is 'linear alias invalid'
	# shellcheck disable=SC2086 # a list of names
	run_cases "$what" "$TOOLS/run_progs" --expect any $SAMPLE
	check "$what: the program ends, right to the last" hold_stop "$HOLDER"
	check "$what: rmmod" unload_pack
}

case $(page_size) in
4096) huge='2 MiB block' middle='64 KiB contiguous' small='4 KiB page' ;;
16384) huge='2 MiB contiguous' middle='16 KiB page' small='16 KiB page' ;;
*) skip_all "no expectations for pages of $(page_size) bytes" ;;
esac

layout "best" "$huge" leaf=0
layout "no 2 MiB leaves" "$middle" leaf=1
layout "base pages only" "$small" leaf=2
layout "near the kernel" near near_packs=16
layout "anywhere" far near_packs=0
finish_test
