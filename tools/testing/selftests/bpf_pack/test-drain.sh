#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# After "drain" new images go to the stock allocator, so that the module can
# leave a machine on which programs come and go.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test drain
need_tool run_progs hold_progs
need_module bpf_pack
load_walk || true

SAMPLE='socket_filter fentry subprograms freplace struct_ops classic_socket'

check "insmod" load_pack
check "two programs live in packs" hold_start old --count 2
old=$HOLDER
check "2 images live" loop_until images_are 2
check "control takes \"drain\"" control drain
served=$(images_served)
# shellcheck disable=SC2086 # a list of names
run_cases "while draining" "$TOOLS/run_progs" --expect stock $SAMPLE
check "no image was served since" test "$(images_served)" -eq "$served"
check "status counts what went to the stock allocator" \
	test "$(status_value 'to the stock allocator, draining')" -gt 0
check "control takes \"serve\"" control serve
# shellcheck disable=SC2086
run_cases "serving again" "$TOOLS/run_progs" $SAMPLE
check "control takes \"drain\" again" control drain
check "a program that comes while draining" hold_start new --count 2
new=$HOLDER
check "the old programs end, right to the last" hold_stop "$old"
check "rmmod, with the new one alive" unload_pack
check "the new program ends, right to the last" hold_stop "$new"
finish_test
