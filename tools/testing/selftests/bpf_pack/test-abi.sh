#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The exported C interface (I2, I10, I12, I13), through a module that is a tiny JIT. It
# runs its cases at insmod and reports to the kernel's log.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test abi
need_module bpf_pack bpf_pack_client

# The client's KTAP lines, with the totals that take_cases() wants at the end.
client_cases() {
	log_since_mark | sed -nE 's/^.*bpf_pack_client: ((not )?ok [0-9].*|# .*)$/\1/p' |
		sed -E 's/^# bpf_pack_client: [0-9]+ passed.*/# Totals: &/'
}

check "insmod succeeds" load_pack
mark_log
check "insmod of the client succeeds" insmod "$(module bpf_pack_client)"
client_cases >"$WORK/client"
take_cases client <"$WORK/client"
check "the module counts its books after the client and finds them right" control check
if ! is_builtin; then
	check_fails "rmmod is refused while the client is loaded" "$IN_USE" rmmod bpf_pack
fi
check "rmmod of the client succeeds" rmmod bpf_pack_client
check "no image of the client is left" loop_until images_are 0
# The client's images have up to 4 MiB (I12).
if is_native; then
	skip_case "interrupts were off for writing one page, and no more" \
		"this kernel writes, and the module takes its word for it"
else
	check "interrupts were off for writing one page, and no more" \
		test "$(status_value largest_poke_bytes)" -eq "$(page_size)"
fi
check "rmmod succeeds" unload_pack
finish_test
