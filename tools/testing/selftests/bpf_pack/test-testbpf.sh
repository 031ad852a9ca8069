#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own test module for the JIT gives exactly the results of the
# stock kernel, with its images in packs. Takes minutes on an emulated CPU.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test testbpf
need_module bpf_pack test_bpf

# said TEXT - test_bpf printed exactly this.
said() {
	log_since_mark | grep -F 'test_bpf: Summary:' || true
	log_since_mark | grep -F 'test_bpf: test_' | grep -F Summary || true
	log_since_mark | grep -qF "$1"
}

# said_like PATTERN - test_bpf printed something of this kind.
said_like() {
	log_since_mark | grep -E 'test_bpf: .*Summary:' || true
	log_since_mark | grep -qE "test_bpf: $1"
}

nothing_failed() {
	! log_since_mark | grep -E 'test_bpf: .*FAIL( |$)'
}

check "insmod" load_pack
served=$(images_served)
mark_log
check "insmod of test_bpf" insmod "$(module test_bpf)"
case $(uname -r) in
7.3.4+*)
	check "1061 tests pass, 1049 of 1049 are jited" \
		said "test_bpf: Summary: 1061 PASSED, 0 FAILED, [1049/1049 JIT'ed]"
	check "10 tail call tests pass, all jited" \
		said "test_bpf: test_tail_calls: Summary: 10 PASSED, 0 FAILED, [10/10 JIT'ed]"
	check "2 segmentation tests pass" \
		said "test_bpf: test_skb_segment: Summary: 2 PASSED, 0 FAILED"
	;;
*)
	# Other kernels have other numbers of tests.
	check "all tests pass" said_like 'Summary: [0-9]{4,} PASSED, 0 FAILED, \[([0-9]+)/\1 JIT'
	check "all tail call tests pass, all jited" \
		said_like 'test_tail_calls: Summary: [0-9]+ PASSED, 0 FAILED, \[([0-9]+)/\1 JIT'
	check "all segmentation tests pass" said_like 'test_skb_segment: Summary: [0-9]+ PASSED, 0 FAILED'
	;;
esac
check "no line says FAIL" nothing_failed
check "packs served at least 1000 images" test $(($(images_served) - served)) -ge 1000
check "rmmod of test_bpf" rmmod test_bpf
check "no image stayed behind" loop_until images_are 0
check "rmmod" unload_pack
finish_test
