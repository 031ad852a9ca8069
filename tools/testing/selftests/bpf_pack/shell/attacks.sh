# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Requests to the module bpf_pack_attacker. A test that uses them sources this file after
# functions.sh.

ATTACKER=/sys/module/bpf_pack_attacker/parameters

# attack WORD [NUMBER]... - has the module try something, and shows the answer.
attack() {
	echo "$*" >"$ATTACKER/request" && cat "$ATTACKER/answer"
}

# attack_gives ANSWER WORD [NUMBER]... - the answer is this one.
attack_gives() {
	wanted=$1
	shift
	got=$(attack "$@") || return
	echo "got: $got, wanted: $wanted"
	[ "$got" = "$wanted" ]
}

# all_trap ADDRESS LENGTH - each word there is the trap.
all_trap() {
	attack_gives "0 of $(($2 / 4))" no_traps "$1" "$2"
}

# each_jump_traps ADDRESS LENGTH - jumps to the first and the last word of each chunk.
each_jump_traps() {
	jumps=$(($2 / 32))
	attack_gives "$jumps of $jumps trapped" jumps "$1" "$2"
}

# plus ADDRESS BYTES - the address so many bytes later.
plus() {
	printf '0xffff%012x\n' $(($(number "$1") + $2))
}
