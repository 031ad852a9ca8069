#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Executable memory of a kernel of native/ (arm64_exec_block_alloc()): if a step of making it
# fails, no memory is lost, the linear map is as it was, and programs load: in a pack that is made
# another way, or without one (I8).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"
# shellcheck source=tools/testing/selftests/bpf_pack/shell/linear.sh
. "$DIR/shell/linear.sh"

start_test blocks
is_native || skip_all "the module makes its regions itself on this kernel"
! is_builtin || skip_all "bpf_pack is a part of this kernel"
need_tool run_progs
need_module bpf_pack bpf_pack_failer bpf_pack_ptwalk

# The value of xa_store() that means -ENOMEM (XA_ERROR() in linux/xarray.h).
XA_NO_MEMORY=-46

# areas - the areas of packs.
areas() {
	grep -c ' bpf_prog_pack_region' /proc/vmallocinfo || true
}

of_failer() {
	cat "/sys/module/bpf_pack_failer/parameters/$1"
}

# fail FUNCTION [PARAMETER=VALUE]... - its calls fail from now on.
fail() {
	name=$1
	shift
	insmod "$(module bpf_pack_failer)" function="$name" "$@"
}

# failed COUNT - calls have failed: so many, or with "some", one at least.
failed() {
	echo "calls: $(of_failer calls), failed: $(of_failer failed)"
	case $1 in
	some) [ "$(of_failer failed)" -gt 0 ] ;;
	*) [ "$(of_failer failed)" -eq "$1" ] ;;
	esac
}

# nothing_lost - no area is left, and the linear map has the leaves that it had.
nothing_lost() {
	echo "areas: $(areas)"
	count_leaves after && [ "$(areas)" -eq 0 ] || return
	echo "leaves: $(leaves before ''), then $(leaves after '')"
	[ "$(leaves before '')" -eq "$(leaves after '')" ]
}

# step WHAT FAILED WHERE FUNCTION [FAILER'S PARAMETER]... - programs get their memory WHERE (pack,
# stock or any) while calls of FUNCTION fail.
step() {
	what=$1 wanted=$2 where=$3 function=$4
	shift 4
	check "$what: calls of $function fail" fail "$function" "$@"
	check "$what: insmod succeeds" load_pack
	run_cases "$what" "$TOOLS/run_progs" --expect "$where" socket_filter xdp fentry
	check "$what: the step failed" failed "$wanted"
	[ "$where" = stock ] || check "$what: there is a pack" test "$(status_value packs)" -gt 0
	check "$what: rmmod succeeds" unload_pack
	check "$what: nothing is lost" nothing_lost
	check "$what: the function runs again" rmmod bpf_pack_failer
}

check "the page tables can be read" load_walk
check "there is no pack" test "$(areas)" -eq 0
check "the leaves of the linear map are counted" count_leaves before

step "one change of the alias" 1 pack set_direct_map_valid_noflush times=1
# Others call these functions, too.
ours=caller=arm64_exec_block_alloc
step "memory for its entry" some stock xa_store $ours value=$XA_NO_MEMORY
step "memory of the block" some stock __vmalloc_node_range_noprof $ours value=0

# A region in many pieces of memory needs a change for each: those of before are undone.
if [ -e "$HUGE_PAGES" ]; then
	check "memory is fragmented" fragment
	step "the second change of the alias" 1 any set_direct_map_valid_noflush after=1 times=1
	check "memory is whole again" defragment
else
	skip_case "the second change of the alias" "no huge pages, with which to fragment memory"
fi
finish_test
