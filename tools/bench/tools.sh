#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# tools.sh OUT - makes OUT/root, an overlay for guests with the distribution's libbpf-tools for
# arm64 (libbpf-tools/NAME-libbpf) and a list of them with their arguments (libbpf-tools/list).
# OUT/package names the package. Nothing of it runs on the host.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

PACKAGE=libbpf-tools
# These see every lock and every piece of memory: what starts after them takes much longer.
LAST='klockstat memleak'

# arguments NAME - prints what a tool needs that does nothing without an argument.
arguments() {
	case $1 in
	funclatency) echo vfs_read ;;
	ksnoop) echo trace vfs_read ;;
	memleak) echo -a ;;
	fsdist | fsslower) echo -t ext4 ;;
	esac
}

# list DIR - prints a line for each tool: its file and its arguments.
list() {
	local tool tools
	tools=$(cd "$1" && printf '%s\n' *-libbpf | sed 's/-libbpf$//' | grep -vxF "${LAST// /$'\n'}")
	for tool in $tools $LAST; do
		[ -e "$1/$tool-libbpf" ] || continue
		# shellcheck disable=SC2046 # words
		echo "$tool-libbpf" $(arguments "$tool")
	done
}

make_tools() {
	local out=$1 dir=$1/root/$PACKAGE
	rm -rf "$out" && mkdir -p "$out/debs" "$dir"
	[ -e "$APT/lists/lock" ] || apt_private apt-get -q update
	(cd "$out/debs" && apt_private apt-get -q download "$PACKAGE:arm64")
	dpkg -x "$out/debs/$PACKAGE"_*.deb "$out/all"
	cp "$out"/all/usr/sbin/*-libbpf "$dir/"
	list "$dir" >"$dir/list"
	basename "$out"/debs/*.deb .deb >"$out/package"
	rm -rf "$out/all" "$out/debs"
}

main() {
	[ $# -eq 1 ] || die "usage: tools.sh OUT"
	local want
	want="$SUITE $(sha256sum <"$0" | cut -c1-16)"
	[ "$(cat "$1/ready" 2>/dev/null)" != "$want" ] || return 0
	enter_toolchain "$(realpath "$0")" "$@"
	step "fetch the tools of $PACKAGE" "check that the package mirror is in reach" make_tools "$1"
	echo "$want" >"$1/ready"
}

main "$@"
