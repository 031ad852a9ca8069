#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boots the stock kernel in many ways, and runs the self-test `boot` in each: with other
# parameters, with little memory, with other numbers of CPUs. Some guests jump to memory of
# packs that has no image, and have to die there at once. KTAP output, a line for each boot.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

number=0 failed=0
# As in scripts/test; the last word of lsm= wins.
LSM=lsm=landlock,lockdown,yama,integrity,apparmor,bpf
TIMEOUT=900

usage() {
	cat <<USAGE
Usage: scripts/tests/boots.sh [NAME]...

Boots as said for each NAME (default: all), and prints a KTAP line for each boot.
--list names them.
USAGE
}

# wanted NAME - whether this boot was asked for. With --list it is only named.
wanted() {
	if [ -n "$LIST" ]; then
		echo "$1"
		return 1
	fi
	[ -z "$NAMES" ] || [[ " $NAMES " == *" $1 "* ]]
}

result() {
	number=$((number + 1))
	echo "$1 $number - boots: $2"
	[ "$1" != ok ] || return 0
	failed=$((failed + 1))
	tail -n 60 "$WORK/output" | sed 's/^/# /'
}

# vm ENVIRONMENT PARAMETERS [OPTION]... - the self-test in a guest.
vm() {
	local environment=$1 parameters=$2
	shift 2
	"$ROOT/scripts/vm" --timeout "$TIMEOUT" --append "$LSM $parameters" "$@" \
		-- "$environment sh /kselftest/bpf_pack/run_all.sh boot" >"$WORK/output" 2>&1
}

# boot NAME WHAT ENVIRONMENT PARAMETERS [OPTION]... - the self-test passes.
boot() {
	local name=$1 what=$2
	shift 2
	wanted "$name" || return 0
	if vm "$@"; then
		result ok "$name: $what"
	else
		result "not ok" "$name: $what"
	fi
}

# complains NAME WHAT ENVIRONMENT - the self-test passes, and the kernel warns of the two
# calls that it finds wrong.
complains() {
	local name=$1 what=$2 environment=$3 log=$WORK/console status=0
	wanted "$name" || return 0
	: >"$log"
	vm "$environment" '' --log "$log" || status=$?
	grep -a WARNING "$log" >>"$WORK/output" || true
	if [ "$status" -eq 70 ] && ! grep -q '^not ok' "$WORK/output" && grep -q '^# totals: pass' "$WORK/output" &&
		[ "$(grep -ac WARNING "$log")" -eq 2 ] && grep -aq 'WARNING: mm/vmalloc.c' "$log" &&
		grep -aq 'WARNING: kernel/bpf/core.c' "$log"; then
		result ok "$name: $what"
	else
		echo "status $status" >>"$WORK/output"
		result "not ok" "$name: $what"
	fi
}

# dies NAME WHAT ERROR ENVIRONMENT - the guest jumps, and the kernel dies at that address
# with ERROR, with the attacker as its caller: nothing ran meanwhile.
dies() {
	local name=$1 what=$2 error=$3 environment=$4 log=$WORK/console status=0 address
	wanted "$name" || return 0
	: >"$log"
	vm "$environment" '' --log "$log" || status=$?
	tr -d '\r' <"$log" >"$WORK/log"
	address=$(sed -n 's/.*bpf_pack_attacker: jumps to 0x//p' "$WORK/log")
	sed -n '/jumps to 0x/,$p' "$WORK/log" >>"$WORK/output"
	if [ "$status" -eq 70 ] && [ -n "$address" ] && ! grep -q '^not ok' "$WORK/output" &&
		! grep -q 'came back' "$WORK/log" &&
		[ "$(grep -c 'Internal error' "$WORK/log")" -eq 1 ] &&
		grep -qE "Internal error: $error" "$WORK/log" &&
		grep -q "pc : 0x$address\$" "$WORK/log" &&
		grep -q 'lr : call+0x.*\[bpf_pack_attacker\]$' "$WORK/log"; then
		result ok "$name: $what"
	else
		echo "status $status, address $address" >>"$WORK/output"
		result "not ok" "$name: $what"
	fi
}

main() {
	LIST='' NAMES=''
	case ${1:-} in
	-h | --help)
		usage
		return
		;;
	--list) LIST=1 ;;
	*) NAMES=$* ;;
	esac
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT

	boot lockdown-integrity "insmod is refused, and the stock kernel works" \
		"REFUSED='not permitted'" lockdown=integrity
	boot lockdown-confidentiality "insmod is refused, and the stock kernel works" \
		"REFUSED='not permitted'" lockdown=confidentiality
	boot sig-enforce "insmod is refused, and the stock kernel works" \
		"REFUSED='key was rejected|required key'" module.sig_enforce=1
	boot lockdown-later "the module goes on in a lockdown that begins after insmod" \
		LOCKDOWN=integrity ''
	boot lockdown-later-confidentiality "the module goes on in a lockdown that begins after insmod" \
		LOCKDOWN=confidentiality ''
	boot nohugevmalloc "packs of 4 KiB pages" "LEAF='4 KiB page'" nohugevmalloc
	boot rodata-off "packs without a writable alias, as the stock allocator has" \
		STOCK_LINEAR=written rodata=off
	boot rodata-noalias "packs without a writable alias, as the stock allocator has" \
		STOCK_LINEAR=written rodata=noalias
	# The kernel then leaves the linear map as it is, and status has to say so. Without KFENCE
	# from the beginning it would be ready to change it, for a late start of KFENCE.
	boot rodata-noalias-kfence "packs with a writable alias, as the stock allocator has" \
		"ALIAS=WRITABLE LINEAR=written STOCK_LINEAR=written" "rodata=noalias kfence.sample_interval=100"
	boot rodata-on "packs of 2 MiB blocks" "" rodata=on
	boot nokaslr "packs of 2 MiB blocks" "" nokaslr
	boot kpti-on "packs of 2 MiB blocks" "" kpti=1
	boot kpti-off "packs of 2 MiB blocks" "" kpti=0
	# The guest's files are in memory, of which they may take half by default.
	boot 256M "packs of 2 MiB blocks" "" initramfs_options=size=90% --memory 256M
	boot 1cpu "packs of 2 MiB blocks" "" '' --cpus 1
	boot 8cpu "packs of 2 MiB blocks" "" '' --cpus 8
	complains wrong-calls-stock "the kernel warns of wrong calls of its functions" WRONG=stock
	complains wrong-calls-packs "the kernel warns of wrong calls that the module passes on" WRONG=packs
	local brk='Oops - BRK: 00000000f2000100 \[#1\]'
	dies jump-stock-freed "a jump to a freed image of the stock allocator dies there" "$brk" JUMP=stock_freed
	dies jump-freed "a jump to a freed image dies there" "$brk" JUMP=freed
	dies jump-unused "a jump to never-used memory of a pack dies there" "$brk" JUMP=unused
	dies jump-returned "a jump to a pack that was given back dies there" \
		'Oops: 0000000086[0-9a-f]* \[#1\]' JUMP=returned
	[ -n "$LIST" ] || echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
