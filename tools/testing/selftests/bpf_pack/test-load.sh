#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module loads, its status adds up, and it leaves; it has only the parameters of the
# interface, and short lines in /proc/kallsyms (I16).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test load
! is_builtin || skip_all "bpf_pack is a part of this kernel"
need_module bpf_pack

# The states of an image in rust/pack_core.
STATES='reserved writing live doomed retiring retired syncing'

# status_is_sane - the sums are right, whatever programs the machine itself loads.
status_is_sane() {
	cat "$STATUS"
	for key in packs images images_served free_bytes jit_charged_bytes; do
		[ "$(status_value "$key")" -ge 0 ] || return 1
	done
	for key in bad_calls copy_errors; do
		[ "$(status_value "$key")" -eq 0 ] || return 1
	done
	total=$(status_value free_bytes)
	for state in $STATES; do
		total=$((total + $(status_value "${state}_bytes")))
	done
	[ "$total" -eq "$(status_value pack_bytes)" ]
}

# vmallocinfo_names_packs - each pack is an area under a name that those who look for packs
# find, with the name of the module, and the name of no area of ours is mangled.
vmallocinfo_names_packs() {
	grep -F '[bpf_pack]' /proc/vmallocinfo
	awk '$3 ~ /^bpf_prog_pack_region\+0x/ && $4 == "[bpf_pack]" { areas++; bytes += $2 }
		END { printf "%d %.0f\n", areas, bytes }' /proc/vmallocinfo >"$WORK/areas"
	echo "areas and bytes: $(cat "$WORK/areas"), packs and bytes: $(status_value packs) $(status_value mapped_bytes)"
	[ "$(cat "$WORK/areas")" = "$(status_value packs) $(status_value mapped_bytes)" ] &&
		! grep -q ' _R[^ ]* \[bpf_pack\] ' /proc/vmallocinfo
}

gone() {
	! is_loaded bpf_pack && [ ! -e "$DEBUGFS/bpf_pack" ]
}

# longest_line MODULE - bytes of the longest line in /proc/kallsyms for a symbol of
# MODULE, or of the kernel itself if that is empty.
longest_line() {
	awk -v module="$1" '
		{ of = match($0, /\t\[[^]]*\]$/) ? substr($0, RSTART + 2, RLENGTH - 3) : "" }
		of == module && length($0) > longest { longest = length($0) }
		END { print longest + 0 }' /proc/kallsyms
}

# lines_are_short - tools whose buffers have 255 bytes stop reading at a longer line.
lines_are_short() {
	ours=$(longest_line bpf_pack) kernel=$(longest_line '')
	echo "longest line of bpf_pack: $ours, of the kernel: $kernel"
	[ "$ours" -gt 0 ] && [ "$ours" -le "$kernel" ] && [ "$ours" -lt 255 ]
}

# parameters - those of the module for users, in alphabetical order. Anything may stand before the
# first of them.
parameters() {
	tr '\0' '\n' <"$(module bpf_pack)" | LC_ALL=C sed -n 's/^.*parmtype=\([a-z_]*\):.*/\1/p' | sort | tr '\n' ' '
}

has_only() {
	echo "parameters: $(parameters)"
	[ "$(parameters)" = "$1 " ]
}

check "the module for users has no parameters for tests" has_only 'near_packs randomize retain_seconds'
check "insmod succeeds" load_pack
check "the log says that the module serves the JIT" log_says 'bpf_pack: serving the BPF JIT'
check "the log names the leaf and the place of the first pack" log_names_leaf
check "status is free of errors, and its sums are right" status_is_sane
check "/proc/vmallocinfo shows each pack as bpf_prog_pack_region" vmallocinfo_names_packs
check "the lines of the module in /proc/kallsyms are no longer than the kernel's own" lines_are_short
check "rmmod succeeds" unload_pack
check "rmmod leaves nothing in debugfs" gone
check "insmod succeeds a second time" load_pack
check "status is free of errors after the second insmod" status_is_sane
check_fails "control refuses an unknown word" 'invalid argument' control nonsense
exec 3<"$STATUS"
check_fails "rmmod is refused while status is open (I7)" "$IN_USE" rmmod bpf_pack
exec 3<&-
check "rmmod succeeds a second time" unload_pack
finish_test
