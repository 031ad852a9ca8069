#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The exported C interface, through a module that plays a tiny JIT. It runs its
# cases at insmod and reports to the kernel's log.
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

check "insmod" load_pack
mark_log
check "insmod of the client" insmod "$(module bpf_pack_client)"
client_cases >"$WORK/client"
take_cases client <"$WORK/client"
check "the books are right" control check
check_fails "rmmod is refused while the client is there" 'in use|busy|temporarily' rmmod bpf_pack
check "rmmod of the client" rmmod bpf_pack_client
check "no image of the client stayed behind" loop_until images_are 0
# I12. The client's images go up to 4 MiB.
check "interrupts are off for one page of writing, and no more" \
	test "$(status_value largest_poke_bytes)" -eq "$(page_size)"
check "rmmod" unload_pack
finish_test
