#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The benchmark's guest side. The kernel command line says what to do, so that the
# guest's image is the same in all runs: bench.layout=LAYOUT bench.suite=SUITE.
# JSON lines on standard output; the last one is the sentinel.
set -eu
cd "$(dirname "$0")"
DIRECT=/sys/kernel/debug/bench_direct

word() {
	sed -n "s/.*bench\.$1=\([a-z0-9]*\).*/\1/p" /proc/cmdline
}

# insert MODULE PARAMETER... - region 1 is the insertion, region 2 a run of the same
# program that inserts nothing.
insert() {
	./mark start 2
	insmod nothing.ko 2>/dev/null || true
	./mark stop
	./mark start 1
	insmod "$@"
	./mark stop
}

# Background work after boot must be over before anything is counted.
sleep 15
layout=$(word layout)
case $layout in
stock) ;;
near) insert bpf_pack.ko ;;
timed) insert bpf_pack_test.ko ;;
far) insert bpf_pack.ko near_packs=0 ;;
c64) insert bpf_pack_test.ko leaf=1 ;;
base) insert bpf_pack_test.ko leaf=2 ;;
page) insert bpf_pack_test.ko align=4096 leaf=2 ;;
*)
	echo "unknown layout: $layout" >&2
	exit 2
	;;
esac
sleep 5

# life_suite BASE LIVE - costs of loading and freeing beside LIVE programs.
life_suite() {
	./life "$1" "$2" 256 1024 4096 16384
	sleep 3
}

# direct WHAT ARGUMENT... - the allocator called without BPF programs: through
# the JIT's entry points and, where the module is, through its own.
direct() {
	what=$1
	shift
	for via in jit abi; do
		[ "$via" = jit ] || [ "$layout" != stock ] || continue
		echo "$what $via $*" >"$DIRECT"
		cat "$DIRECT"
	done
}

# direct_suite SUITE - stock, and the module as it is by default.
direct_suite() {
	case $layout in
	stock | near | timed) ;;
	*) return ;;
	esac
	[ -e "$DIRECT" ] || insmod bench_direct.ko
	# What ran before is freed, and the pack that it left empty is given back.
	sleep 10
	case $1 in
	smp)
		direct calls 256 65536
		return
		;;
	quick)
		echo masked >"$DIRECT"
		cat "$DIRECT"
		direct random 10000 20000 1
		lives='0 1000'
		;;
	full) lives=10000 ;;
	huge) lives=100000 ;;
	holds)
		direct life 10000 256
		return
		;;
	esac
	for live in $lives; do
		direct life "$live" 256 1024 4096 16384 65536
	done
}

quick_suite() {
	life_suite 1000 0
	life_suite 1100 1000
	# shellcheck disable=SC2046 # a list
	./hot 2000 realistic 1000 20 $(sweep 10 20 40 60 80 100 150 200 340 500) 1000 \
		$(temperatures 100) $(temperatures 340)
	sleep 3
	# shellcheck disable=SC2046
	./hot 2100 256 160 20 160 100 $(temperatures 100)
	sleep 3
	# shellcheck disable=SC2046
	./hot 2200 12176 33 20 33 $(temperatures 33)
	sleep 3
	./original 3000 20 10 faithful
	sleep 3
	./original 3010 64 10 faithful
	sleep 3
	calls_suite
	direct_suite quick
}

full_suite() {
	quick_suite
	direct_suite full
	life_suite 1200 10000
	./original 3020 1 10 faithful
	sleep 3
	./original 3030 40 10 faithful
	sleep 3
	for processes in 1 20 40 64; do
		./original $((3100 + 10 * processes)) "$processes" 10 light
		sleep 3
	done
	# shellcheck disable=SC2046
	./hot 2210 256 1000 20 100 340 1000 $(temperatures 340)
	sleep 3
	# shellcheck disable=SC2046
	./hot 2250 large 160 20 100 160 $(temperatures 100)
	sleep 3
	# Pages for so many are in more places than the model can tell from other text.
	[ "$layout" != page ] || return 0
	# shellcheck disable=SC2046
	./hot 2230 256 10000 20 100 340 1000 $(temperatures 1000)
	sleep 3
	# shellcheck disable=SC2046
	./hot 2300 realistic 10000 20 100 340 1000 $(temperatures 1000) 5000 10000
	sleep 3
}

# sense_suite - how much the figures depend on what the models leave out.
sense_suite() {
	# shellcheck disable=SC2046
	./hot 2400 realistic 1000 20 100 340 1000 $(temperatures 340)
	sleep 3
	./original 3400 64 10 light
	sleep 3
}

# k16_suite - for the kernel with 16 KiB pages.
k16_suite() {
	# shellcheck disable=SC2046
	./hot 2500 realistic 1000 20 100 340 1000 $(temperatures 340)
	sleep 3
	# shellcheck disable=SC2046
	./hot 2600 12176 33 20 33 $(temperatures 33)
	sleep 3
	./original 3500 64 10 light
	sleep 3
}

# compile ID FILE... - the original workload while these files of a real program
# are compiled. What comes out must be the same everywhere.
compile() {
	id=$1
	shift
	./original "$id" 20 0 faithful chroot compiler /usr/bin/gcc -O2 -w -DNO_YAML \
		-Idtc -Idtc/libfdt -c "$@"
	(cd compiler && for object in *.o; do
		sum=$(sha256sum <"$object")
		echo "{\"line\":\"object\",\"compiler\":$id,\"file\":\"$object\",\"sha256\":\"${sum%% *}\"}"
	done)
	rm -f compiler/*.o
	sleep 3
}

# calls_suite - what calls cost; for guests with KASLR, where nothing else is of use.
calls_suite() {
	./calls 4500
}

# compiler_suite - some G instructions of compiling.
compiler_suite() {
	compile 4000 dtc/dtc.c dtc/util.c dtc/checks.c
}

# compiler1_suite - the same with one small file.
compiler1_suite() {
	compile 4010 dtc/fstree.c
}

# hardware_suite - the same work, counted by the machine itself.
hardware_suite() {
	./events ./original 4700 20 0 faithful chroot compiler /usr/bin/gcc -O2 -w -DNO_YAML \
		-Idtc -Idtc/libfdt -c dtc/dtc.c dtc/util.c dtc/checks.c
}

# smp_suite - for counting interrupts between CPUs; nothing else repeats there.
smp_suite() {
	./life 1900 0 256
	direct_suite smp
}

# huge_suite - where the stock allocator's search takes minutes: a guest of its own.
huge_suite() {
	direct_suite huge
}

# sweep HOT... - each as every so many-th and as the first of the live programs.
sweep() {
	for hot in "$@"; do
		echo "$hot $hot/dense"
	done
}

temperatures() {
	echo "$1/spread/flush $1/spread/evict64 $1/spread/evict2000"
}

./memory.sh start
# holds_suite - for how long a lock is held while many images come and go: the test
# build measures that itself, by the clock, which counts instructions here.
holds_suite() {
	direct_suite holds
	[ "$layout" != stock ] || return 0
	sed -n 's/^longest_hold_ns: /{"line":"hold","instructions":/p' \
		/sys/kernel/debug/bpf_pack/status | sed 's/$/}/'
}

suite=$(word suite)
case $suite in
quick | full | huge | sense | k16 | smp | compiler | compiler1 | calls | hardware | holds) "${suite}_suite" ;;
*)
	echo "unknown suite: $suite" >&2
	exit 2
	;;
esac
./memory.sh end
[ "$layout" = stock ] || sed 's/^/status /' /sys/kernel/debug/bpf_pack/status
echo '{"line":"end"}'
