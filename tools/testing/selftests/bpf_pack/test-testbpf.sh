#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# test_bpf, the kernel's own test module for the JIT, gives the results of the stock
# kernel with its images in packs. It takes minutes on an emulated CPU.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test testbpf
need_module bpf_pack test_bpf

# said TEXT - test_bpf printed TEXT.
said() {
	log_since_mark | grep -F 'test_bpf: Summary:' || true
	log_since_mark | grep -F 'test_bpf: test_' | grep -F Summary || true
	log_since_mark | grep -qF "$1"
}

# said_like PATTERN - test_bpf printed a line that matches PATTERN.
said_like() {
	log_since_mark | grep -E 'test_bpf: .*Summary:' || true
	log_since_mark | grep -qE "test_bpf: $1"
}

nothing_failed() {
	! log_since_mark | grep -E 'test_bpf: .*FAIL( |$)'
}

check "insmod succeeds" load_pack
served=$(images_served)
mark_log
check "insmod of test_bpf succeeds" insmod "$(module test_bpf)"
case $(uname -r) in
7.3.4+*)
	check "test_bpf: 1061 tests pass, 1049 of 1049 are jited" \
		said "test_bpf: Summary: 1061 PASSED, 0 FAILED, [1049/1049 JIT'ed]"
	check "test_bpf: 10 tail call tests pass, all jited" \
		said "test_bpf: test_tail_calls: Summary: 10 PASSED, 0 FAILED, [10/10 JIT'ed]"
	check "test_bpf: 2 segmentation tests pass" \
		said "test_bpf: test_skb_segment: Summary: 2 PASSED, 0 FAILED"
	;;
*)
	# Other kernels have other numbers of tests.
	check "test_bpf: all tests pass, all jited" said_like 'Summary: [0-9]{4,} PASSED, 0 FAILED, \[([0-9]+)/\1 JIT'
	check "test_bpf: all tail call tests pass, all jited" \
		said_like 'test_tail_calls: Summary: [0-9]+ PASSED, 0 FAILED, \[([0-9]+)/\1 JIT'
	check "test_bpf: all segmentation tests pass" said_like 'test_skb_segment: Summary: [0-9]+ PASSED, 0 FAILED'
	;;
esac
check "test_bpf: no line says FAIL" nothing_failed
check "packs served at least 1000 images of test_bpf" test $(($(images_served) - served)) -ge 1000
check "rmmod of test_bpf succeeds" rmmod test_bpf
check "no image is left" loop_until images_are 0
check "rmmod succeeds" unload_pack
finish_test
