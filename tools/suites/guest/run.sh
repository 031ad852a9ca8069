#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh SIDE SUITE: runs one of other people's suites in the guest, on SIDE stock or
# module. /suites/todo has the tests to run, a list of them on each line; a suite that
# cannot run single tests gets one line. Lines "=== suites WORD ..." are for
# tools/suites/results.py; the rest is what the suites print.
set -u
SIDE=$1 SUITE=$2
export HOME=/root LC_ALL=C TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin
DEBUGFS=/sys/kernel/debug/bpf_pack

# tell WORD ... - a line for results.py; what is run is told to the console, too.
tell() {
	echo "=== suites $*"
	[ "$1" != run ] || echo "suites: $*" >/dev/kmsg
}

prepare() {
	local module
	ulimit -c 0
	hostname guest
	mkdir -p /run/netns
	ip link set lo up
	# The suites ask for it; the kernel says on its console that it is not safe.
	echo 0 >/proc/sys/kernel/unprivileged_bpf_disabled
	case $SUITE in progs | maps) ;; *) return ;; esac
	find "/lib/modules/$(uname -r)/kernel" -name '*.ko*' ! -path '*/samples/*' | while read -r module; do
		module=${module##*/}
		modprobe "${module%%.ko*}" 2>/dev/null || echo "no module ${module%%.ko*}"
	done
}

# bounded SECONDS COMMAND... - its status is the list's.
bounded() {
	local seconds=$1
	shift
	timeout --kill-after=10 "$seconds" "$@" </dev/null 2>&1
}

suite_progs() {
	local module
	cd /suites/bpf || return
	bounded 1500 ./test_progs -w 600 --no-error-summary -a "$1"
	local status=$?
	# A run that broke off leaves its modules, and with them the next one does not start.
	for module in bpf_test_modorder_x bpf_test_modorder_y bpf_test_no_cfi bpf_test_rqspinlock bpf_testmod; do
		! grep -q "^$module " /proc/modules || rmmod "$module" || true
	done
	return "$status"
}

suite_verifier() {
	cd /suites/bpf || return
	# shellcheck disable=SC2086 # nothing, or the number of a test
	bounded 2400 ./test_verifier ${1#all}
}

suite_maps() {
	cd /suites/bpf || return
	bounded 2400 ./test_maps
}

suite_tag() {
	modprobe -a algif_hash sha1 2>/dev/null
	cd /suites/bpf || return
	bounded 2400 ./test_tag
}

suite_seccomp() {
	cd /suites/seccomp || return
	local name=${1#all}
	bounded 1200 ./seccomp_bpf ${name:+-t "$name"}
}

suite_ftrace() {
	cd /suites/ftrace || return
	# shellcheck disable=SC2046,SC2086 # a list of files
	bounded 1500 ./ftracetest -v --logdir /tmp/ftrace.log $(printf 'test.d/%s ' ${1//,/ })
	local status=$?
	rm -rf /tmp/ftrace.log /tmp/ftracetest-dir.*
	return "$status"
}

# suite_samples NAME - a program is loaded while a module is in that uses ftrace, kprobes or
# fprobes; NAME:PARAMETERS gives the module parameters.
suite_samples() {
	local name=${1%%:*} parameter='' word=OK
	case $1 in *:*) parameter=${1#*:} ;; esac
	bounded 120 insmod "/suites/samples/$name.ko" ${parameter:+"$parameter"} || word='FAIL insmod'
	bounded 120 bpftool prog load /suites/bpf/xdp_dummy.bpf.o /sys/fs/bpf/sample || word='FAIL load'
	rm -f /sys/fs/bpf/sample
	sleep 1
	[ "$word" != OK ] || bounded 120 rmmod "$name" || word='FAIL rmmod'
	echo "$1: $word"
}

status_value() {
	sed -n "s/^$1: //p" "$DEBUGFS/status"
}

# leave - what is left: the kernel keeps a few programs for itself, on either side.
leave() {
	local tries=0 said images
	cd /
	# The kernel frees programs from workers, after their last user is gone.
	while [ "$tries" -lt 10 ] && bpftool prog list 2>/dev/null | grep -q .; do
		sleep 1
		tries=$((tries + 1))
	done
	bpftool prog list 2>/dev/null | sed -n 's/^[0-9]*: \([a-z_]*\)  name \([^ ]*\).*/\1 \2/p' | while read -r said; do
		tell "left $said"
	done
	[ "$SIDE" = module ] || return 0
	tries=0
	while [ "$tries" -lt 15 ] && [ "$(status_value images)" -ne 0 ]; do
		sleep 1
		tries=$((tries + 1))
	done
	grep -E '^[a-z_]+: [0-9]+$' "$DEBUGFS/status" | while read -r said; do
		tell "status $said"
	done
	if echo check >"$DEBUGFS/control"; then tell "module check OK"; else tell "module check FAIL"; fi
	images=$(status_value images)
	if said=$(rmmod bpf_pack 2>&1); then
		tell "module rmmod OK"
	elif [ "$images" -ne 0 ] && bpftool prog list | grep -q .; then
		tell "module rmmod SKIP $images images, programs are left"
	else
		tell "module rmmod FAIL $images images: $said"
	fi
}

main() {
	local list status started
	prepare
	echo "kernel $(uname -r), jit $(cat /proc/sys/net/core/bpf_jit_enable)"
	if [ "$SIDE" = module ]; then
		insmod /suites/bpf_pack.ko || { tell "module insmod FAIL"; exit 1; }
		tell "module insmod OK"
	fi
	if [ "$SUITE" = names ]; then
		cd /suites/bpf && ./test_progs -l
		exit
	fi
	while read -r list; do
		started=$(date +%s)
		tell "run $list"
		"suite_$SUITE" "$list"
		status=$?
		echo
		tell "end $status $(($(date +%s) - started)) s"
	done </suites/todo
	leave
	tell "done"
}

main
