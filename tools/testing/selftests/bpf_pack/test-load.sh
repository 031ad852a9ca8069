#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module loads, says sensible things of itself, and leaves.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test load
need_module bpf_pack

# What an image can be, as rust/pack_core has it.
STATES='reserved writing live doomed retiring retired syncing'

# Whatever images are made meanwhile, by this machine's own programs, the sums fit.
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

said_in_log() {
	log_since_mark | grep -q 'bpf_pack: serving the BPF JIT'
}

gone() {
	! is_loaded bpf_pack && [ ! -e "$DEBUGFS/bpf_pack" ]
}

# longest_line MODULE - bytes of the longest line of /proc/kallsyms that is of this
# module; of the kernel itself for "".
longest_line() {
	awk -v module="$1" '
		{ of = match($0, /\t\[[^]]*\]$/) ? substr($0, RSTART + 2, RLENGTH - 3) : "" }
		of == module && length($0) > longest { longest = length($0) }
		END { print longest + 0 }' /proc/kallsyms
}

# Tools that read lines of 255 bytes see nothing of what follows a longer one.
lines_are_short() {
	ours=$(longest_line bpf_pack) kernel=$(longest_line '')
	echo "longest line of bpf_pack: $ours, of the kernel: $kernel"
	[ "$ours" -gt 0 ] && [ "$ours" -le "$kernel" ] && [ "$ours" -lt 255 ]
}

# parameters - of the module that is shipped, in alphabetical order.
parameters() {
	tr '\0' '\n' <"$(module bpf_pack)" | sed -n 's/^parmtype=\([a-z_]*\):.*/\1/p' | sort | tr '\n' ' '
}

has_only() {
	echo "parameters: $(parameters)"
	[ "$(parameters)" = "$1 " ]
}

check "what is shipped has no parameters for tests" has_only 'near_packs retain_seconds'
check "insmod" load_pack
check "it says so in the kernel's log" said_in_log
check "status is sane" status_is_sane
check "its lines in /proc/kallsyms are no longer than the kernel's own" lines_are_short
check "rmmod" unload_pack
check "nothing of it stays in debugfs" gone
check "insmod again" load_pack
check "status is sane again" status_is_sane
check_fails "an unknown word for control is refused" 'invalid argument' control nonsense
exec 3<"$STATUS"
check_fails "rmmod is refused while a file is open (I7)" 'in use|busy|temporarily' rmmod bpf_pack
exec 3<&-
check "rmmod again" unload_pack
finish_test
