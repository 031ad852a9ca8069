#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The operator's tool (tools/bpfpack) beside real programs, before the module and with it.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test tool
need_tool hold_progs hold_classic as_nobody bpfpack
need_module bpf_pack

# tool ARGUMENT... - bpfpack; shows what it prints.
tool() {
	"$TOOLS/bpfpack" "$@"
}

# ends_with STATUS ARGUMENT... - bpfpack ends with that status.
ends_with() {
	wanted=$1 status=0
	shift
	tool "$@" || status=$?
	echo "status $status, wanted: $wanted"
	[ "$status" -eq "$wanted" ]
}

# says TEXT ARGUMENT... - bpfpack prints a line with TEXT.
says() {
	text=$1
	shift
	tool "$@" >"$WORK/tool.out" 2>&1 || true
	grep -F -e "$text" "$WORK/tool.out" || {
		cat "$WORK/tool.out"
		return 1
	}
}

# lists LABEL PLACE - each image of that hold_progs is in the list, once, in PLACE.
lists() {
	tool list --place "$2" --no-holders >"$WORK/list"
	cat "$WORK/list"
	# The list has the first chunk of an image, bpftool an address behind its header.
	held_images "$1" | while read -r address _; do
		if [ "$2" != stock ]; then
			address=$(printf '0x%x' "$((address & ~63))")
		fi
		[ "$(grep -c " ${address#0x} " "$WORK/list")" -eq 1 ] || {
			echo "$address is not there once"
			return 1
		}
	done
}

# agrees - the images that are listed in packs are as many as the module counts.
agrees() {
	tool list --json --no-holders >"$WORK/list.json"
	listed=$(grep -c '"state": "\(live\|reserved\|writing\|doomed\)"' "$WORK/list.json")
	echo "listed: $listed, images: $(status_value images)"
	[ "$listed" -eq "$(status_value images)" ]
}

# measures_unread - measure reports, while standard error is a pipe that nobody reads.
measures_unread() {
	tool measure --turns 1 --warm-up 0 -- sleep 1 2>&1 >"$WORK/measured" | true
	cat "$WORK/measured"
	grep -q '^2 turns of: sleep 1' "$WORK/measured"
}

# without_debugfs COMMAND... - COMMAND while debugfs is not mounted.
without_debugfs() {
	outcome=0
	umount -l "$DEBUGFS"
	"$@" || outcome=$?
	mount -t debugfs debugfs "$DEBUGFS"
	return "$outcome"
}

check "doctor finds that this kernel qualifies" ends_with 0 doctor --module "$(module bpf_pack)"
check "status without the module ends with 2" ends_with 2 status
check "programs work on the stock kernel" hold_start before --count 3
before=$HOLDER
check "list names them as the stock allocator's" lists before stock
check "metrics say that the module is not loaded" says 'bpf_pack_loaded 0' metrics

check "insmod succeeds" load_pack
check "status ends with 0" ends_with 0 status
check "measure goes on when nobody reads what it says" measures_unread
check "the module serves after it" test "$(cat "$CONTROL")" = serve
check "programs and a trampoline work in packs" hold_start after --count 20 --attach fentry
after=$HOLDER
check "classic filters work in packs" start_tool filters hold_classic 3 8
filters=$HOLDER
check "list has each program in a near pack" lists after near
check "list still names the older ones as the stock allocator's" lists before stock
check "list has as many images as the module" loop_until agrees
check "list names the function that a trampoline belongs to" \
	says bpf_fentry_test1 \
	list --type trampoline
check "list names the process whose sockets have filters" says "hold_classic (pid $filters)" list
check "map draws the pack" says ' of 2 MiB block, near: ' map
check "metrics have the packs" says 'bpf_pack_packs{leaf="2 MiB block",place="near"}' metrics
check "top prints a line of JSON" says '"loaded":true' top --json --count 1 --interval 0.1
check "doctor finds that the module holds its hooks" says 'the module holds all functions' doctor
check_fails "list names the privilege that is missing" 'try sudo' \
	"$TOOLS/as_nobody" "$TOOLS/bpfpack" list

check "unload of a module in use ends with 1" ends_with 1 unload
check "unload names the programs that are left" says 'socket_filter program' unload --dry-run
check "the module serves after the refusal" test "$(cat "$CONTROL")" = serve
check "the programs end, with right results" hold_stop "$after"
check "unload names the process whose filters are left" says "hold_classic (pid $filters)" unload
(sleep 2 && kill "$filters") &
check "unload --wait ends when the last image is gone" ends_with 0 unload --wait=60
wait "$!" || true
check "the module is gone" test ! -e /sys/module/bpf_pack
check "the older programs end, with right results" hold_stop "$before"
check "insmod succeeds again" load_pack
check "unload removes it without debugfs, too" without_debugfs ends_with 0 unload
check "the module is gone again" test ! -e /sys/module/bpf_pack
finish_test
