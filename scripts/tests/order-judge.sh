#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The judge of the self-test "order" must report nothing for a good trace, and the right
# rule for each spoilt one. Needs no guest: the good trace was recorded, and a small edit
# of it (order/spoil.awk) makes each spoilt one. Runs with every awk of mawk, gawk and
# busybox that is installed. KTAP output.
#
# Environment:
#   JUDGE   the judge to test: one that was broken on purpose
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

ORDER=$ROOT/tools/testing/selftests/bpf_pack/order
JUDGE=${JUDGE:-$ORDER/judge.awk}
GOOD=$ORDER/good.trace
# CPUs of the guest that the good trace is of.
CPUS=2
number=0 failed=0

result() {
	number=$((number + 1))
	echo "$1 $number - order judge, $AWK: $2"
	[ "$1" = ok ] || failed=$((failed + 1))
}

# run_awk ARGUMENT... - AWK may be two words.
run_awk() {
	# shellcheck disable=SC2086
	$AWK "$@"
}

# violations CPUS - each "RULE: what happened" that the judge reports for $WORK/trace,
# once and without the place, and its error message if it fails.
violations() {
	run_awk -v cpus="$1" -f "$JUDGE" "$WORK/trace" >"$WORK/verdict" 2>&1 || echo "status $?" >>"$WORK/verdict"
	grep -v '^count' "$WORK/verdict" | sed 's/ (.*//' | sort -u
}

# compare NAME EXPECTED GOT
compare() {
	if [ "$2" = "$3" ]; then
		result ok "$1"
	else
		result "not ok" "$1"
		printf 'expected:\n%s\ngot:\n%s\n' "${2:-nothing}" "${3:-nothing}" | sed 's/^/# /'
	fi
}

# edited NAME EXPECTED EDIT... - the good trace with the EDITs has exactly the violations
# EXPECTED, in the order of sort.
edited() {
	local name=$1 expected=$2
	shift 2
	if ! run_awk -f "$ORDER/spoil.awk" "$@" <"$GOOD" >"$WORK/trace" 2>"$WORK/error"; then
		result "not ok" "$name: the edits failed"
		sed 's/^/# /' "$WORK/error"
	elif cmp -s "$WORK/trace" "$GOOD"; then
		result "not ok" "$name: the edits changed nothing"
	else
		compare "$name" "$expected" "$(violations "$CPUS")"
		sed -n 's/^\(I[0-9]*\):.*/\1/p' "$WORK/verdict" >>"$WORK/reported"
	fi
}

# spoilt NAME EXPECTED EDIT... - as edited, for violations.
spoilt() {
	edited "reported: $1" "${@:2}"
}

# quiet NAME EDIT... - after the EDITs nothing is wrong, either.
quiet() {
	edited "not reported: $1" '' "${@:2}"
}

# The edits name an image by the last digits of its address. The images 0a80 and 0b00 are
# written, made final and freed. Then 0b80 is written, which synchronises all CPUs and so
# releases the first two. Image 0ac0 gets memory of both, is written, made final and freed;
# its memory is not used again. The second 0a00 is freed without ever having been final.

unspoilt() {
	cp "$GOOD" "$WORK/trace"
	compare "nothing is wrong with the good trace" '' "$(violations "$CPUS")"
	compare "the good trace has something of everything to judge" 6 "$(grep -c '^count [a-z]* [1-9]' "$WORK/verdict")"
	compare "reported: a CPU that is never synchronised" \
		"$(printf '%s\n' 'I3: final before every CPU was synchronised' \
			'I4: handed out before every CPU was synchronised')" "$(violations $((CPUS + 1)))"
	: >"$WORK/trace"
	compare "nothing is wrong with an empty trace" '' "$(violations "$CPUS")"
	compare "an empty trace has nothing to judge" 6 "$(grep -c '^count [a-z]* 0$' "$WORK/verdict")"
}

windows() {
	spoilt "a page is left mapped after a copy" 'I1: a page was left writable' \
		drop 'reserve.*0ac0 > physical=0x0$'
	spoilt "a page is left mapped after overwriting" 'I1: a page was left writable' \
		drop 'order_free.*0ac0 > physical=0x0$'
	spoilt "a window over two pages" 'I12: 2 pages with interrupts off' \
		copy 'reserve.*0ac0 > order_window' 'reserve.*0ac0 > order_window' \
		change 'reserve.*0ac0 > order_window > order_window' '0000$' '1000'
	spoilt "a window over no page" 'I12: 0 pages with interrupts off' \
		drop 'reserve.*0ac0 > order_window'
	quiet "a page that another task maps meanwhile" \
		move 'physical=0x41277d08' 'order_free.*0ac0 > order_window'
}

freeing() {
	local never='I2: freed without being overwritten'
	spoilt "freed without being overwritten" "$never" \
		drop 'order_free.*0ac0 > order_poke:' drop 'order_free.*0ac0 > order_window' \
		drop 'order_free.*0ac0 > order_window' drop 'order_free.*0ac0 > order_poked' \
		drop 'order_free.*0ac0 > order_clean'
	spoilt "freed with maintenance, but without being overwritten" "$never" \
		drop 'order_free.*0ac0 > order_poke:'
	spoilt "overwritten without maintenance" "$never" drop 'order_free.*0ac0 > order_clean'
	spoilt "overwritten but for the last chunk" "$never" \
		change 'order_free.*0ac0 > order_clean' 'b40$' b00
	spoilt "an image that was never final is freed without maintenance" "$never" \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_clean'
	spoilt "an image that was never final is overwritten after maintenance" "$never" \
		move 'order_free.*0ac0 > order_free.*0a00 > order_clean' 'order_free.*0ac0 > order_free.*0a00'
	# Just as long as the first 0a00, which had its maintenance.
	spoilt "an image that was never final has the maintenance of an earlier one" "$never" \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_poke:' \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_window' \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_window' \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_poked' \
		drop 'order_free.*0ac0 > order_free.*0a00 > order_clean' \
		change 'order_free.*0ac0 > retire.*0a00' size=192 size=128
}

finalizing() {
	local unclean='I3: final without maintenance after the copy'
	local early='I3: final before every CPU was synchronised'
	spoilt "missing maintenance" "$unclean" drop 'reserve.*0ac0 > order_clean'
	spoilt "maintenance before the copy" "$unclean" \
		move 'reserve.*0ac0 > order_clean' 'reserve.*0ac0 > order_lock > order_unlock'
	spoilt "maintenance that ends a chunk early" "$unclean" \
		change 'reserve.*0ac0 > order_clean' 'b40$' b00
	spoilt "final without a copy" "$unclean" drop 'reserve.*0ac0 > order_poke:' \
		drop 'reserve.*0ac0 > order_window' drop 'reserve.*0ac0 > order_window' \
		drop 'reserve.*0ac0 > order_poked'
	spoilt "late synchronisation" "$early" \
		move 'reserve.*0b80 > synchronise_context' 'finalize.*0b80' \
		move 'reserve.*0b80 > synchronise_context' 'finalize.*0b80'
	spoilt "late synchronisation of one CPU" "$early" \
		move 'reserve.*0b80 > \[001\].*synchronise_context' 'finalize.*0b80'
	spoilt "synchronisation before maintenance" "$early" \
		move 'reserve.*0ac0 > order_clean' 'reserve.*0ac0 > synchronise_context > synchronise_context'
	spoilt "no synchronisation" "$early" \
		drop 'reserve.*0ac0 > synchronise_context' drop 'reserve.*0ac0 > synchronise_context'
	quiet "other calls of other CPUs do not count" \
		copy 'reserve.*0ac0 > synchronise_context' 'reserve.*0ac0' \
		change 'reserve.*0ac0 > synchronise_context' synchronise_context do_nothing
	spoilt "another call of a CPU instead of its synchronisation" "$early" \
		change 'reserve.*0ac0 > synchronise_context' synchronise_context do_nothing
	# As in the load of a program of two functions: both are copied, and then final together.
	local -a shared=(drop 'reserve.*0b00 > synchronise_context'
		drop 'reserve.*0b00 > synchronise_context')
	quiet "two images share a synchronisation" "${shared[@]}" \
		move 'finalize.*0a80' 'reserve.*0b00 > finalize.*0b00'
	spoilt "one of two images is final before the shared synchronisation" "$early" "${shared[@]}"
	spoilt "one of two images is copied after the shared synchronisation" "$early" "${shared[@]}" \
		move 'finalize.*0a80' 'reserve.*0b00 > finalize.*0b00' \
		move 'reserve.*0b00 > synchronise_context' 'reserve.*0b00 > order_clean' \
		move 'reserve.*0b00 > synchronise_context' 'reserve.*0b00 > order_clean'
}

reusing() {
	local early='I4: handed out before every CPU was synchronised'
	local released='I4: released before the CPUs were synchronised'
	spoilt "early reuse" "$early" move 'reserve.*0ac0' 'retire.*0b00'
	spoilt "early reuse, with one CPU not synchronised" "$early" \
		move 'reserve.*0ac0' 'reserve.*0b80 > synchronise_context'
	spoilt "reuse of what is in use" 'I4: handed out while live' \
		copy 'reserve.*0a80' 'finalize.*0a80'
	spoilt "release before synchronisation" "$released" \
		move 'reserve.*0b80 > order_synchronise' \
		'reserve.*0b80 > order_synchronise > order_unlock > order_unlock'
	spoilt "release without the lock that follows synchronisation" "$released" \
		drop 'reserve.*0b80 > order_synchronise > order_lock' \
		drop 'reserve.*0b80 > order_synchronise > order_lock'
	spoilt "an image not at the start of a chunk" 'I10: not at the start of a chunk' \
		change-all 'dc00c80' 'dc00c90'
}

allocating() {
	local kind
	for kind in kmalloc kmem_cache_alloc mm_page_alloc; do
		spoilt "allocation while freeing ($kind)" "I6: $kind: while freeing" \
			change 'kmalloc:' kmalloc "$kind" move "$kind:" 'order_free.*0ac0 > order_clean'
	done
	quiet "an interrupt allocates while freeing" \
		change 'kmalloc:' '\[000\] [.][.][.]' '[000] d.h' \
		move 'kmalloc:' 'order_free.*0ac0 > order_clean'
	quiet "another task allocates while freeing" \
		change 'kmalloc:' '0:0-9 ' '0:0-8 ' move 'kmalloc:' 'order_free.*0ac0 > order_clean'
	quiet "allocation after freeing" move 'kmalloc:' 'retire.*0ac0'
	spoilt "allocation while freeing, with the lock held" \
		"$(printf '%s\n' 'I11: allocating with the pool lock held' 'I6: kmalloc: while freeing')" \
		move 'kmalloc:' 'order_free.*0ac0 > order_lock'
}

locking() {
	spoilt "lock held across mapping" 'I11: mapping with the pool lock held' \
		move 'retire.*0ac0 > order_map' 'retire.*0ac0 > hold_progs.*order_lock'
	spoilt "lock held across a change of the linear map" \
		'I11: changing the linear map with the pool lock held' \
		change 'retire.*0ac0 > order_map' order_map order_alias \
		move 'order_alias' 'retire.*0ac0 > hold_progs.*order_lock'
	spoilt "lock held across synchronisation" 'I11: synchronising with the pool lock held' \
		move 'reserve.*0ac0 > order_synchronise' 'reserve.*0ac0 > order_clean > order_lock'
	spoilt "lock held across writing" 'I11: writing with the pool lock held' \
		move 'reserve.*0ac0 > order_unlock' 'reserve.*0ac0 > order_poke:'
	spoilt "lock held across an allocation" 'I11: allocating with the pool lock held' \
		move 'kmalloc:' 'retire.*0ac0 > order_lock'
	quiet "another task holds the lock" change 'kmalloc:' '0:0-9 ' '0:0-8 ' \
		move 'kmalloc:' 'retire.*0ac0 > order_lock'
}

# The same steps as a kernel that calls the module shows them.
native() {
	local unclean='I3: final without maintenance after the copy'
	local never='I2: freed without being overwritten'
	run_awk -f "$ORDER/as_native.awk" <"$ORDER/good.trace" >"$WORK/native.trace"
	local GOOD=$WORK/native.trace
	cp "$GOOD" "$WORK/trace"
	compare "native: nothing is wrong with the good trace" '' "$(violations "$CPUS")"
	compare "native: the good trace has something of everything to judge" 6 "$(grep -c '^count [a-z]* [1-9]' "$WORK/verdict")"
	spoilt "native: a page is left mapped after a copy" 'I1: a page was left writable' \
		drop 'reserve.*0ac0 > physical=0x0$'
	spoilt "native: a page is mapped before the last one is not" 'I1: two pages writable at once' \
		copy 'reserve.*0ac0 > order_window' 'reserve.*0ac0 > order_window'
	spoilt "native: the function that writes and maintains does not return" "$unclean" \
		drop 'reserve.*0ac0 > order_wrote'
	spoilt "native: the copy ends a chunk early" "$unclean" \
		change 'reserve.*0ac0 > order_write' 'size=0x80$' size=0x40
	spoilt "native: freed without being overwritten" "$never" \
		drop 'order_free.*0ac0 > order_write' drop 'order_free.*0ac0 > order_wrote'
	spoilt "native: late synchronisation" 'I3: final before every CPU was synchronised' \
		move 'reserve.*0b80 > synchronise_context' 'finalize.*0b80' \
		move 'reserve.*0b80 > synchronise_context' 'finalize.*0b80'
	spoilt "native: lock held across writing" 'I11: writing with the pool lock held' \
		move 'reserve.*0ac0 > order_unlock' 'reserve.*0ac0 > order_write:'
}

# Nothing tests a rule that no spoilt trace breaks.
all_rules() {
	compare "a spoilt trace breaks every rule of the judge" \
		"$(sed -n 's/.*bad("\(I[0-9]*\)".*/\1/p' "$JUDGE" | sort -u)" \
		"$(sort -u "$WORK/reported")"
}

main() {
	enter_toolchain "$0" "$@"
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
	for AWK in mawk gawk 'busybox awk'; do
		command -v "${AWK%% *}" >/dev/null || continue
		: >"$WORK/reported"
		unspoilt
		windows
		freeing
		finalizing
		reusing
		allocating
		locking
		native
		all_rules
	done
	echo "1..$number"
	[ "$failed" -eq 0 ] && [ "$number" -gt 0 ]
}

main "$@"
