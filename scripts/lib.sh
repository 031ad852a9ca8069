# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script here shares: where things are, how progress is told, and
# how a script gets into the toolchain tree. Source it after `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=${BPF_PACK_BUILD:-$ROOT/build}
LOGS=$BUILD/log
STARTED=${BPF_PACK_STARTED:-$(date +%s)}
export BPF_PACK_STARTED=$STARTED

# set_suite SUITE - the suite of the toolchain, the one that its kernels come from, and where
# the tree of the toolchain and apt's lists are.
set_suite() {
	export BPF_PACK_SUITE=$1 SUITE=$1
	case $1 in
	trixie) BACKPORTS=trixie-backports TREE=$BUILD/toolchain APT=$BUILD/apt ;;
	sid) BACKPORTS=sid TREE=$BUILD/toolchain-sid APT=$BUILD/apt-sid ;;
	*) die "BPF_PACK_SUITE is trixie or sid, not $1" ;;
	esac
	export BACKPORTS TREE
}

# say TEXT... - one line of progress, with the seconds since the first script began.
say() {
	printf '[%4d s] %s\n' "$(($(date +%s) - STARTED))" "$*" >&2
}

# die TEXT... - says what failed and ends the script.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# ticker LOG NAME - repeats the last line of LOG while a step runs: every 5 s
# for a person at a terminal, every 30 s for a log file.
ticker() {
	local log=$1 name=$2 every=30 last
	[ -t 2 ] && every=5
	while sleep "$every" && kill -0 $$ 2>/dev/null; do
		last=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | tail -c 90)
		say "  $name ... $last"
	done
}

# attempt NAME HINT COMMAND... - runs COMMAND with its output in a log file and
# shows that it lives. On failure names the step, the log and what to try, and
# returns COMMAND's status. (In a condition, as everywhere in bash, errors inside
# a COMMAND that is a function do not end it.)
attempt() {
	local name=$1 hint=$2 log tick status
	shift 2
	mkdir -p "$LOGS"
	log=$LOGS/$(printf '%s' "$name" | tr -cs 'A-Za-z0-9.+\n' '-').log
	say "$name"
	# Neither may hold this script's output or its lock open.
	: >"$log"
	ticker "$log" "$name" </dev/null >/dev/null 9>&- &
	tick=$!
	set +e
	(set -e && "$@") </dev/null >"$log" 2>&1 9>&-
	status=$?
	set -e
	kill "$tick" 2>/dev/null || true
	wait "$tick" 2>/dev/null || true
	[ "$status" -ne 0 ] || return 0
	{
		echo
		echo "FAILED: $name (exit status $status)"
		echo "  log:  $log; its end:"
		tail -n 15 "$log" | sed 's/^/    /'
		echo "  try:  $hint"
	} >&2
	return "$status"
}

# step NAME HINT COMMAND... - an attempt whose failure ends the script.
step() {
	local status
	set +e
	attempt "$@"
	status=$?
	set -e
	[ "$status" -eq 0 ] || exit "$status"
}

# retry COMMAND... - for what needs the network: tries up to four times, with pauses.
# (Errors inside a COMMAND that is a function do not end it.)
retry() {
	local pause
	for pause in 10 30 60; do
		! "$@" || return 0
		echo "failed; once more in $pause s"
		sleep "$pause"
	done
	"$@"
}

# as_root COMMAND... - runs COMMAND as root, asking sudo where needed.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo --preserve-env=BPF_PACK_STARTED,BPF_PACK_ACCEPT_EXPIRED -- "$@"
	else
		die "this step needs root: run it as root or install sudo"
	fi
}

# use_suite_of FLAVOUR - from here on, the toolchain is the one that this kernel needs.
use_suite_of() {
	local suite=trixie
	case $1 in sid-*) suite=sid ;; esac
	[ "$suite" != "$SUITE" ] || return 0
	! in_toolchain || die "the kernel $1 has a toolchain of its own: run scripts/module $1 outside of this one"
	set_suite "$suite"
}

# in_toolchain - true where the tools of the toolchain are the ones on PATH.
in_toolchain() {
	[ -n "${BPF_PACK_IN_TOOLCHAIN:-}" ]
}

# in_tree_too PATH - whether the toolchain tree shows this absolute path of the machine.
in_tree_too() {
	case $1/ in "$ROOT"/* | "$BUILD"/* | /tmp/*) ;; *) return 1 ;; esac
}

# enter_toolchain SCRIPT ARG... - goes on with SCRIPT inside the toolchain tree, unless
# this is inside already; in the current directory, if the tree shows that.
enter_toolchain() {
	! in_toolchain || return 0
	in_tree_too "$PWD" || cd "$ROOT"
	exec "$ROOT/scripts/toolchain" run "$@"
}

# single_instance NAME - waits until no other run holds the lock NAME, so that
# two commands started side by side do not build the same thing twice.
single_instance() {
	mkdir -p "$BUILD"
	exec 9>"$BUILD/.$1.lock"
	if ! flock -n 9; then
		say "another run is busy with $1; waiting for it"
		flock 9
	fi
}

# apt_private COMMAND... - apt with its state under build/: needs no root and
# leaves the host's (or the tree's) package lists alone.
apt_private() {
	local command=$1
	shift
	mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
	local options=(-o Dir::State::lists="$APT/lists" -o Dir::Cache="$APT/cache"
		-o APT::Architectures::=arm64 -o APT::Sandbox::User= -o Acquire::Languages=none)
	[ -z "${BPF_PACK_ACCEPT_EXPIRED:-}" ] || options+=(-o Acquire::Check-Valid-Until=false)
	"$command" "${options[@]}" "$@"
}

set_suite "${BPF_PACK_SUITE:-trixie}"
