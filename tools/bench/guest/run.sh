#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The work of the benchmark's guests. The kernel command line says what to do
# (bench.layout=LAYOUT bench.suite=SUITE), so the guest's image is the same in all layouts.
# Prints JSON lines; the last one says that the guest came to its end.
set -eu
cd "$(dirname "$0")"
DIRECT=/sys/kernel/debug/bench_direct

word() {
	sed -n "s/.*bench\.$1=\([a-z0-9]*\).*/\1/p" /proc/cmdline
}

# insert MODULE PARAMETER... - inserts a module in region 1. Region 2 is an insmod that
# inserts nothing. Where the model begins later there are no regions yet.
insert() {
	if [ -n "$LATE" ]; then
		insmod "$@"
		return
	fi
	./mark start 2
	insmod nothing.ko 2>/dev/null || true
	./mark stop
	./mark start 1
	insmod "$@"
	./mark stop
}

# Nobody asks what booting costs, and in some suites what loads cost: there the program that
# loads has the model begin, when it has loaded everything.
suite=$(word suite)
case $suite in
fleet | large | tools) LATE=y ;;
*)
	LATE=
	./mark begin
	;;
esac
# The kernel's background work after boot must be over before a region begins.
sleep 15
layout=$(word layout)
case $layout in
stock) ;;
both) ;;
near) insert bpf_pack.ko ;;
timed) insert bpf_pack_test.ko origin=0 ;;
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

# load_suite ID LIVE - costs of loading and freeing beside LIVE programs.
load_suite() {
	./load_free "$1" "$2" 256 1024 4096 16384
	sleep 3
}

# direct WHAT ARGUMENT... - calls the allocator without BPF programs: through the JIT's
# entry points and, if the module is loaded, through the module's own functions.
direct() {
	what=$1
	shift
	for via in jit abi; do
		[ "$via" = jit ] || [ "$layout" != stock ] || continue
		echo "$what $via $*" >"$DIRECT"
		cat "$DIRECT"
	done
}

# direct_suite SUITE - direct calls, only of stock and of the module with its defaults.
direct_suite() {
	case $layout in
	stock | near | timed) ;;
	*) return ;;
	esac
	[ -e "$DIRECT" ] || insmod bench_direct.ko
	# By then the programs that ran before are freed, and empty packs are given back.
	sleep 10
	case $1 in
	smp)
		direct alone 256 65536
		return
		;;
	quick)
		echo masked >"$DIRECT"
		cat "$DIRECT"
		lives='0 1000'
		;;
	full) lives=10000 ;;
	huge) lives=100000 ;;
	holds)
		direct beside 10000 256
		return
		;;
	esac
	for live in $lives; do
		direct beside "$live" 256 1024 4096 16384 65536
	done
}

quick_suite() {
	load_suite 1000 0
	load_suite 1100 1000
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
	./hot 2300 realistic 10000 20 100 340 1000 $(temperatures 1000) 5000 10000
	sleep 3
}

# fleet_suite - many long-lived programs, with short-lived ones among them.
fleet_suite() {
	./hot 2700 fleet 10000 20 1000/spread/churn64 5000/spread/churn64
	sleep 3
}

# many_suite - as many programs as an allocator may ever have; some of them run.
many_suite() {
	./hot 2800 many 100000 20 100 1000 1000/dense
}

# large_suite - large programs, some of which run, or all.
large_suite() {
	# shellcheck disable=SC2046 # a list
	./hot 2900 large 1000 20 100 340 1000 100/dense $(temperatures 100)
	sleep 3
}

# attach_suite - a trampoline for each of many functions.
attach_suite() {
	./attach 5000 1000
}

# sense_suite - scenarios for models with more details.
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

# compile ID FILE... - the original workload beside a compiler of these files of a real
# program. The object files must be the same in all layouts.
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

# calls_suite - costs of calls.
calls_suite() {
	./calls 4500
}

# tools_suite - the tools of libbpf-tools, all at the same time.
tools_suite() {
	./tools 6000 10 libbpf-tools
	sleep 3
}

# compiler_suite - a compiler with several files, some 10^9 instructions.
compiler_suite() {
	compile 4000 dtc/dtc.c dtc/util.c dtc/checks.c
}

# compiler1_suite - a compiler with one small file.
compiler1_suite() {
	compile 4010 dtc/fstree.c
}

# hardware_suite - the work of compiler_suite, counted by the machine.
hardware_suite() {
	./events ./original 4700 20 0 faithful chroot compiler /usr/bin/gcc -O2 -w -DNO_YAML \
		-Idtc -Idtc/libfdt -c dtc/dtc.c dtc/util.c dtc/checks.c
}

# smp_suite - interrupts between CPUs are counted in it.
smp_suite() {
	./load_free 1900 0 256
	direct_suite smp
}

# syncs_suite - synchronisations of all CPUs, by loads and by frees.
syncs_suite() {
	./syncs 1000 10000
}

# huge_suite - the stock allocator searches for minutes here: a guest of its own.
huge_suite() {
	direct_suite huge
}

# sweep HOT... - scenarios of HOT programs, taken evenly from the live ones and the first.
sweep() {
	for hot in "$@"; do
		echo "$hot $hot/dense"
	done
}

# temperatures HOT - scenarios of HOT programs with evicted TLB entries.
temperatures() {
	echo "$1/spread/flush $1/spread/evict64 $1/spread/evict2000"
}

# holds_suite - the longest hold of the allocator's lock while many images come and go.
# The test build measures it by the clock, which counts instructions here. Then the places of
# images after random operations, which a model has too: with origin=0 they are not random.
holds_suite() {
	direct_suite holds
	[ "$layout" = stock ] || sed -n 's/^longest_hold_ns: /{"line":"hold","instructions":/p' \
		/sys/kernel/debug/bpf_pack/status | sed 's/$/}/'
	sleep 10
	direct random 10000 20000 1
}

# linear_map NUMBERS [LONG] - leaves of the linear map with these numbers of packs, first of the
# module, then of the stock allocator. A self-test counts them; its table becomes JSON lines.
linear_map() {
	LINEAR_PACKS=$1 LINEAR_LONG=${2:-} sh linear/test-linear.sh >linear.ktap || {
		cat linear.ktap
		exit 1
	}
	awk -F' [|] ' '
		function pair(text, ends) {
			return split(text, ends, " to ") == 2 ? ends[1] "," ends[2] : text "," text
		}
		$1 == "# side" { table = 1; next }
		!/^# / { table = 0 }
		table {
			printf "{\"line\":\"linear\",\"side\":\"%s\",\"memory\":\"%s\",\"packs\":%d,",
				substr($1, 3), $2, $3
			printf "\"leaves\":[%s],\"split\":[%s],\"runs\":[%s],\"gib_blocks\":[%s]}\n",
				pair($4), pair($5), pair($6), pair($7)
		}' linear.ktap
	grep -e '^# Totals' -e '# SKIP' linear.ktap
}

# linear1_suite - the short one.
linear1_suite() {
	linear_map 1,10
}

# linear_suite - fragmented memory, too.
linear_suite() {
	linear_map 1,10,50 long
}

# places RANDOMIZE - where two programs are, and waits until they are gone.
places() {
	./places "$1" 2
	[ "$layout" = stock ] || until grep -q '^images: 0$' /sys/kernel/debug/bpf_pack/status; do
		sleep 1
	done
}

# entropy_suite - where the first programs are, in one boot of the stock kernel, and after each
# of many times that the module is inserted.
entropy_suite() {
	times=${1:-100}
	if [ "$layout" = stock ]; then
		places 0
		return
	fi
	rmmod bpf_pack
	for randomize in 0 1; do
		for _ in $(seq "$times"); do
			insmod bpf_pack.ko "randomize=$randomize"
			places "$randomize"
			rmmod bpf_pack
		done
	done
}

# entropy1_suite - the short one.
entropy1_suite() {
	entropy_suite 25
}

./memory.sh start
case $suite in
quick | full | huge | sense | k16 | smp | compiler | compiler1 | calls | hardware | holds | \
	syncs | fleet | many | large | attach | tools | linear | linear1 | entropy | entropy1)
	"${suite}_suite"
	;;
*)
	echo "unknown suite: $suite" >&2
	exit 2
	;;
esac
./memory.sh end
[ ! -e /sys/kernel/debug/bpf_pack/status ] || sed 's/^/status /' /sys/kernel/debug/bpf_pack/status
echo '{"line":"end"}'
