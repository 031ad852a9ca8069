#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The DKMS package as on an arm64 machine: native compilers, the distribution's headers and
# source, under qemu-user. KTAP output. tools/deb/native-steps.sh has what happens there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

RECIPE_VERSION=1
# What loads the result has to pass, in a guest.
TESTS='load progs'

number=0 failed=0

usage() {
	cat <<USAGE
Usage: scripts/tests/dkms-native.sh [--keep]

Makes a Debian system for arm64 in build/deb/native, with the headers and the source of the
stock kernel, and what bpf-pack-dkms depends on. Installs bpf-pack-dkms there: DKMS builds
the module, with metadata that the package makes from the kernel's source. Then compares it
with the one of bpf-pack-modules-RELEASE, and loads it in a guest.

Compilers under qemu-user take many times as long: more than an hour on two cores, and 6 GB
of disk meanwhile.

  --keep   leave the system for the next run (3 GB); without it, it is removed if all passes
USAGE
}

result() {
	number=$((number + 1))
	echo "$1 $number - dkms native: $2"
	[ "$1" = ok ] || failed=$((failed + 1))
}

# packages - what the system has: the package's own dependencies, as apt would take them.
packages() {
	"$ROOT/scripts/deb" --run dpkg-deb -f "$(echo "$BUILD"/deb/packages/bpf-pack-dkms_*.deb)" Depends | tr , '\n' | sed 's/[(|].*//; s/ //g'
	printf '%s\n' "linux-headers-$RELEASE" "linux-source-$(cut -d. -f1,2 <<<"$RELEASE")=$(cat "$KIT/version")"
}

# make_system - unless it is there.
make_system() {
	local want list
	mapfile -t list < <(packages)
	want="$RECIPE_VERSION $(printf '%s\n' "${list[@]}" | cat - "$ROOT"/tools/deb/{native,foreign.sh} | sha256sum)"
	[ "$(cat "$SYSTEM/ready" 2>/dev/null)" != "$want" ] || return 0
	step "make a Debian system for arm64 with compilers" "check that the package mirror is in reach, free 6 GB of disk" \
		"$ROOT/scripts/deb" --run-alone bash "$ROOT/tools/deb/native" make "$SYSTEM" "${list[@]}"
	echo "$want" | as_root tee "$SYSTEM/ready" >/dev/null
}

# symbols FILE - what a module takes from the kernel. Hashes of the kernel's crates are in the
# names, so that the wrong compiler or source shows.
symbols() {
	"$ROOT/scripts/toolchain" run aarch64-linux-gnu-nm -u "$1" | sort
}

# same TEXT COMMAND - whether both modules give the same.
same() {
	local text=$1
	shift
	"$@" "$PACKAGED" >"$OUT/packaged" && "$@" "$BUILT" >"$OUT/built" && [ -s "$OUT/built" ]
	if cmp -s "$OUT/packaged" "$OUT/built"; then
		result ok "as in bpf-pack-modules-$RELEASE: $text ($(wc -l <"$OUT/built"))"
	else
		result "not ok" "as in bpf-pack-modules-$RELEASE: $text"
		diff "$OUT/packaged" "$OUT/built" | head -n 40 | sed 's/^/# /' || true
	fi
}

vermagic() {
	"$ROOT/scripts/toolchain" run modinfo -F vermagic "$1"
}

parameters() {
	"$ROOT/scripts/toolchain" run modinfo -F parm "$1"
}

compare() {
	PACKAGED=$(find "$OUT/package" -name bpf_pack.ko) BUILT=$FILES/bpf_pack.ko
	same "vermagic" vermagic
	same "parameters" parameters
	same "undefined symbols" symbols
}

# load - it serves the stock kernel.
load() {
	mkdir -p "$OUT/overlay"
	cp "$FILES/bpf_pack.ko" "$OUT/overlay/"
	if "$ROOT/scripts/vm" --timeout 3600 --overlay "$OUT/overlay" -- \
		"MODULE_DIR=/overlay sh /kselftest/bpf_pack/run_all.sh $TESTS"; then
		result ok "it serves in a guest"
	else
		result "not ok" "it serves in a guest"
	fi
}

main() {
	local keep='' status=0
	case ${1:-} in
	-h | --help)
		usage
		return
		;;
	--keep) keep=1 ;;
	'') ;;
	*)
		usage >&2
		exit 2
		;;
	esac
	OUT=$BUILD/deb/native-run FILES=$OUT/files SYSTEM=$BUILD/deb/native KIT=$BUILD/kit/arm64
	"$ROOT/scripts/deb" arm64 >/dev/null
	RELEASE=$(cat "$KIT/release")
	single_instance dkms-native
	make_system
	as_root rm -rf --one-file-system "$OUT" && mkdir -p "$FILES"
	cp "$BUILD"/deb/packages/bpf-pack-dkms_*.deb "$ROOT/debian/tests/dkms" "$ROOT/tools/deb/native-steps.sh" \
		"$KIT/obj/rust/libmacros.so" "$FILES/"
	"$ROOT/scripts/deb" --run dpkg-deb -x "$BUILD/deb/packages/bpf-pack-modules-${RELEASE}_"*.deb "$OUT/package"
	say "dkms native: install and build"
	"$ROOT/scripts/deb" --run-alone bash "$ROOT/tools/deb/native" run "$SYSTEM" "$RELEASE" "$FILES" \
		bash /mnt/native-steps.sh "$RELEASE" || status=$?
	if [ "$status" -eq 0 ] && [ -s "$FILES/bpf_pack.ko" ]; then
		compare
		load
	else
		result "not ok" "there is a module to look at"
	fi
	[ "$failed" -eq 0 ] || return 1
	[ -n "$keep" ] || as_root rm -rf --one-file-system "$SYSTEM"
}

main "$@"
