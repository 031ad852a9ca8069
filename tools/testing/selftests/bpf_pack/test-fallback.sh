#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# If the kernel gives no 2 MiB leaves, packs are made of 64 KiB runs, then of base
# pages, and status names the leaf that the page tables show. The parameter near_packs
# decides where packs are (I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test fallback
need_tool run_progs
need_module bpf_pack_test bpf_pack_ptwalk
load_walk

SAMPLE='socket_filter fentry subprograms'

# hold_one - a program that lives, so that there is a pack to look at.
hold_one() {
	hold_start one --count 1
}

# first_pack_is WORDS - the first pack has this leaf, or is near or far, or has a linear
# alias of this kind.
first_pack_is() {
	packs | head -n 1 >"$WORK/first"
	cat "$WORK/first"
	read -r start _ place alias _ _ leaf <"$WORK/first"
	case $1 in "$place" | "$alias" | "$leaf") return ;; esac
	return 1
}

# walk_agrees - bpf_pack_ptwalk, which walks the page tables by itself, finds the leaf
# that status names.
walk_agrees() {
	read -r start _ _ _ _ _ leaf <"$WORK/first"
	echo "0x$start" >"$WALK/walk"
	cat "$WALK/walk"
	grep -qF "leaf=\"$leaf\"" "$WALK/walk"
}

# layout DESCRIPTION WORDS PARAMETER... - with these parameters the first pack is so.
layout() {
	what=$1 wanted_kind=$2
	shift 2
	check "$what: insmod succeeds" load_test_pack "$@"
	check "$what: a program works" hold_one
	check "$what: status says that the pack is: $wanted_kind" first_pack_is "$wanted_kind"
	check "$what: a walk of the page tables finds the leaf that status names" walk_agrees
	check "$what: the linear alias is invalid" first_pack_is invalid
	# shellcheck disable=SC2086 # a list of names
	run_cases "$what" "$TOOLS/run_progs" --expect any $SAMPLE
	check "$what: the program ends, with right results" hold_stop "$HOLDER"
	check "$what: rmmod succeeds" unload_pack
}

case $(page_size) in
4096) huge='2 MiB block' middle='64 KiB contiguous' small='4 KiB page' ;;
16384) huge='2 MiB contiguous' middle='16 KiB page' small='16 KiB page' ;;
*) skip_all "no expectations for pages of $(page_size) bytes" ;;
esac

layout "all leaves allowed" "$huge" leaf=0
layout "no 2 MiB leaves" "$middle" leaf=1
layout "base pages only" "$small" leaf=2
layout "near_packs=16" near near_packs=16
layout "near_packs=0" far near_packs=0
finish_test
