#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Images of many kinds come and go on all CPUs while others use the kernel as they like:
# tracers on the redirected functions (which are written through the same fixmap slot),
# CPUs that go offline, memory without free blocks of 2 MiB, modules that come and go.
# CHURN_IMAGES chooses how many images live; CHURN_BESIDE which of the others there are.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

IMAGES=${CHURN_IMAGES:-1500}
BESIDE=${CHURN_BESIDE:-tracers cpus memory modules}

start_test churn
need_tool churn_progs hold_progs jit_charge trace_hooked
need_module bpf_pack bpf_pack_ptwalk
need_tracefs

# shellcheck source=tools/testing/selftests/bpf_pack/shell/tracers.sh
. "$DIR/shell/tracers.sh"

# --- what happens beside it: each is called again and again --------------------

# turn_tracers - every tracer that tracefs has, on the redirected functions.
turn_tracers() {
	for kind in kprobe kretprobe fprobe fprobe_return function function_graph; do
		[ ! -e "$WORK/end" ] || return 0
		lacking "$kind" >/dev/null || { attach "$kind" && detach "$kind"; } || return
	done
}

# turn_cpus - every CPU but the first goes offline and comes back.
turn_cpus() {
	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
		[ ! -e "$WORK/end" ] || return 0
		[ -e "$cpu" ] || continue
		echo 0 >"$cpu" || return
		sleep 0.2
		echo 1 >"$cpu" || return
		sleep 0.2
	done
}

# turn_memory - most free blocks of 2 MiB are taken for huge pages for a while.
turn_memory() {
	free=$(awk '/^MemFree:/ { print int($2 / 2048 * 3 / 4) }' /proc/meminfo)
	echo "$free" >/proc/sys/vm/nr_hugepages || return
	sleep 0.5
	echo 0 >/proc/sys/vm/nr_hugepages || return
	sleep 0.5
}

# turn_modules - another module comes and goes; ours is in use and must stay.
turn_modules() {
	load_walk && rmmod bpf_pack_ptwalk || return
	if rmmod bpf_pack 2>"$WORK/rmmod.log" || ! grep -qiE "$IN_USE" "$WORK/rmmod.log"; then
		echo "rmmod of bpf_pack: $(cat "$WORK/rmmod.log")"
		return 1
	fi
	sleep 0.1
}

# lacks WHO - says what this machine has not; fails if it has everything.
lacks() {
	case $1 in
	cpus) [ ! -e /sys/devices/system/cpu/cpu1/online ] && echo "no CPU that can go offline" ;;
	memory) [ ! -e /proc/sys/vm/nr_hugepages ] && echo "no huge pages" ;;
	*) false ;;
	esac
}

# beside WHO - takes its turns until the end; $WORK/turns.WHO has a line for each.
beside() {
	: >"$WORK/turns.$1"
	while [ ! -e "$WORK/end" ]; do
		"turn_$1" >"$WORK/turn.$1" 2>&1 || {
			echo "$1 failed" >"$WORK/turns.$1"
			return 1
		}
		echo turn >>"$WORK/turns.$1"
	done
}

# show_progress - how far a long run is, once a minute.
show_progress() {
	waited=0
	while [ ! -e "$WORK/end" ]; do
		sleep 1
		waited=$((waited + 1))
		[ $((waited % 60)) -ne 0 ] || echo "# $(images_served) images were in packs so far"
	done
}

start_beside() {
	show_progress &
	pids=$!
	for who in $BESIDE; do
		lacks "$who" >/dev/null || {
			beside "$who" &
			pids="$pids $!"
		}
	done
	HOLDERS="$HOLDERS $pids"
}

end_beside() {
	: >"$WORK/end"
	for pid in $pids; do
		wait "$pid" || true
	done
	echo 0 >/proc/sys/vm/nr_hugepages || true
}

turns() {
	grep -c '^turn$' "$WORK/turns.$1"
}

took_turns() {
	echo "$(turns "$1") turns of $1"
	cat "$WORK/turn.$1"
	! grep failed "$WORK/turns.$1" && [ "$(turns "$1")" -gt 0 ]
}

# --- what must be as before ----------------------------------------------------

charged() {
	"$TOOLS/jit_charge"
}

charge_is() {
	now=$(charged)
	echo "charged: $now bytes, wanted: $1"
	[ "$now" -eq "$1" ]
}

# no_area - no memory is mapped in our name.
no_area() {
	! grep bpf_pack /proc/vmallocinfo
}

nothing_bad() {
	for key in bad_calls copy_errors; do
		echo "$key: $(status_value "$key")"
		[ "$(status_value "$key")" -eq 0 ] || return
	done
}

# --- the test ------------------------------------------------------------------

measured=$(charged 2>"$WORK/charge.log") || measured=''
check "insmod succeeds" load_pack
check "a program lives all the time" hold_start all_the_time --count 3
start_beside
run_cases "$IMAGES images" "$TOOLS/churn_progs" --images "$IMAGES"
end_beside
for who in $BESIDE; do
	if reason=$(lacks "$who"); then
		skip_case "beside it: $who" "$reason"
	else
		check "beside it: $who" took_turns "$who"
		echo "# $(turns "$who") turns of $who"
	fi
done
echo "# $(images_served) images were in packs, $(status_value regions_made) regions were made"
check "the program ends, with right results" hold_stop "$HOLDER"
check "no image is left" loop_until images_are 0
check "no freed image waits" loop_until nothing_retired
check "packs served as many as lived, but for those that had no memory" \
	test "$(images_served)" -ge $((IMAGES / 2))
check "no bad call and no copy error" nothing_bad
check "the module counts its books and finds them right" control check
if [ -n "$measured" ]; then
	check "the kernel charges for as many bytes as before" loop_until charge_is "$measured"
else
	skip_case "the kernel charges for as many bytes as before" "$(cat "$WORK/charge.log")"
fi
check "rmmod succeeds" unload_pack
check "no memory is mapped in its name" no_area
finish_test
