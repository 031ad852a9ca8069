#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A person's dialogue with `scripts/vm --shell`, in a real terminal by tmux. KTAP output.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

# Seconds to wait for a line on the screen: a guest needs a tenth of that on an idle machine.
PATIENCE=${BPF_PACK_PATIENCE:-600}
number=0 failed=0
# Terminals so far. Each has a server of its own: the last one may not have gone yet.
terminals=0

usage() {
	cat <<USAGE
Usage: scripts/tests/vm-shell.sh

Starts scripts/vm --shell in a terminal, types, reads the screen and leaves; then once more
and closes the terminal. Nothing of it may be left.
USAGE
}

terminal() {
	tmux -L "bpf_pack-$$-$terminals" -f /dev/null "$@"
}

screen() {
	terminal capture-pane -p -t shell
}

# expect NAME COMMAND... - a case that passes where COMMAND does; the screen shows why not.
expect() {
	local name=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number - shell: $name"
	else
		failed=$((failed + 1))
		echo "not ok $number - shell: $name"
		screen 2>&1 | sed '/./s/^/# /p;d'
		# What follows in a dialogue that went wrong is not worth waiting for.
		PATIENCE=20
	fi
}

# shows LINE - waits until the screen has a line that is LINE.
shows() {
	local end=$((SECONDS + PATIENCE))
	while [ "$SECONDS" -lt "$end" ]; do
		! screen 2>/dev/null | grep -qxE -- "$1 *" || return 0
		sleep 0.3
	done
	return 1
}

# types TEXT LINE - types TEXT and Enter; LINE is the answer.
types() {
	terminal send-keys -t shell -l "$1"
	terminal send-keys -t shell Enter
	shows "$2"
}

# start - a terminal of a size that no default is, with the shell in it.
start() {
	terminals=$((terminals + 1))
	# Its end is written where it outlives the terminal.
	terminal new-session -d -s shell -x 93 -y 37 \
		"stty -a >$WORK/before; TMPDIR=$WORK/tmp $ROOT/scripts/vm --shell --timeout $PATIENCE; left=\$?; stty -a >$WORK/after; echo left \$left; sleep 600"
	terminal set-option -g status off
}

# qemu - whether the machine runs: it has the name of the initrd.
qemu() {
	# A process may go while its command line is read.
	{ cat /proc/[0-9]*/cmdline 2>/dev/null || true; } | tr '\0' '\n' | grep -c "^$WORK/tmp/.*/initrd\$" >/dev/null
}

# no_rest - no machine, none of its files, soon.
no_rest() {
	local end=$((SECONDS + 60))
	while qemu || [ -n "$(ls -A "$WORK/tmp")" ]; do
		[ "$SECONDS" -lt "$end" ] || { find "$WORK/tmp" | sed 's/^/# left: /'; return 1; }
		sleep 0.2
	done
}

# runs - waits for the machine.
runs() {
	local end=$((SECONDS + PATIENCE))
	until qemu; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# shellcheck disable=SC2016 # the guest's shell expands them
dialogue() {
	start
	expect "a prompt" shows '~ #'
	expect "it computes" types 'echo $((6 * 7))' 42
	expect "the guest's terminal has the size of this one" types 'stty size' '37 93'
	expect "the tool is at hand" types 'bpfpack --version >/dev/null && echo found' found
	expect "a module goes in" types 'insmod /bpf_pack.ko && echo in' in
	expect "a list of its images" types 'bpfpack list | grep -c "1 pack,"' 1
	expect "a command runs" types 'echo begun; sleep 1000' begun
	terminal send-keys -t shell C-c
	expect "^C ends a command, not the shell" types 'echo "after $?"' 'after 130'
	expect "exit ends it" types exit 'left 0'
	expect "the terminal is as it was" cmp "$WORK/before" "$WORK/after"
	expect "nothing is left" no_rest
	terminal kill-server
	start
	expect "another machine runs" runs
	terminal kill-server
	expect "the terminal was closed: nothing is left" no_rest
}

main() {
	case ${1:-} in -h | --help)
		usage
		return
		;;
	esac
	enter_toolchain "$0" "$@"
	WORK=$(mktemp -d /tmp/bpf_pack-shell.XXXXXX)
	mkdir "$WORK/tmp"
	trap 'terminal kill-server 2>/dev/null || true; rm -rf "$WORK"' EXIT
	trap 'exit 130' INT TERM
	dialogue
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
