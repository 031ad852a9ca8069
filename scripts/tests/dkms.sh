#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The DKMS package without an arm64 machine: what it says if something is missing, that DKMS
# then skips the module, and that DKMS builds and signs it with the cross compiler. KTAP output.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

number=0 failed=0

usage() {
	cat <<USAGE
Usage: scripts/tests/dkms.sh

Installs bpf-pack-dkms in a tree of its own, takes away one thing after the other that it
needs, and looks at what it says and at what DKMS makes of it. Then DKMS builds the module for the stock kernel of
arm64, once with the metadata of the kernel kit, as on a distribution that ships it, and
once with metadata that the package makes from the kernel's source (two minutes).
USAGE
}

result() {
	number=$((number + 1))
	echo "$1 $number - dkms: $2"
	[ "$1" != ok ] || return 0
	failed=$((failed + 1))
	tail -n 40 "$OUT/output" | sed 's/^/# /'
}

# build_check - what the package says, with the headers and the root directory of the case.
build_check() {
	PATH=$OUT/bin BPF_PACK_SYSTEM=$OUT/system BPF_PACK_SOURCE=$SOURCE \
		"$INSTALLED/tools/dkms/build" check "$RELEASE" >"$OUT/output" 2>&1
}

# says TEXT PATTERN - one line that matches, and the exit status that DKMS calls skipped.
says() {
	local status=0
	build_check || status=$?
	if [ "$status" -eq 77 ] && [ "$(wc -l <"$OUT/output")" -eq 1 ] && grep -qE "$2" "$OUT/output"; then
		result ok "$1: $(sed 's/^[^:]*: //' "$OUT/output" | cut -c1-150)"
	else
		result "not ok" "$1"
	fi
	restore
}

# fake NAME TEXT - a program that prints TEXT.
fake() {
	rm -f "$OUT/bin/$1"
	printf '#!/bin/sh\necho "%s"\n' "$2" >"$OUT/bin/$1"
	chmod +x "$OUT/bin/$1"
}

# restore - a machine that has everything.
restore() {
	rm -rf "${OUT:?}/bin" "$OUT/system" && mkdir -p "$OUT/bin" "$OUT/system/lib/modules/$RELEASE" "$OUT/system/usr/src"
	ln -sf -t "$OUT/bin" /usr/bin/* /usr/sbin/*
	HEADERS=$OUT/system/lib/modules/$RELEASE/build
	mkdir -p "$HEADERS"
	cp "$KIT/config" "$HEADERS/.config"
	touch "$HEADERS/Makefile"
	SOURCE=$KIT/source
	mkdir -p "$OUT/system/var/lib/dpkg"
}

# installed PACKAGE VERSION [STATUS] - notes a package in the root directory of the case.
installed() {
	{
		printf '%s\n' "Package: $1" "Status: ${3:-install ok installed}" 'Architecture: all' \
			'Maintainer: nobody' "Version: $2" 'Description: a fake'
		case ${3:-} in
		*-awaited) echo 'Triggers-Awaited: another' ;;
		*-pending) echo 'Triggers-Pending: something' ;;
		esac
		echo
	} >>"$OUT/system/var/lib/dpkg/status"
}

refusals() {
	local state
	restore
	if build_check && [ ! -s "$OUT/output" ]; then
		result ok "a machine that has everything: no word"
	else
		result "not ok" "a machine that has everything: no word"
	fi

	mkdir "${HEADERS%/*}/updates" && touch "${HEADERS%/*}/updates/bpf_pack.ko"
	says "a package has the module" 'from the package bpf-pack-modules-.*; to have DKMS build it'
	rm -rf "$HEADERS"
	says "no headers" "no kernel headers in .*; install linux-headers-"
	sed -i 's/^CONFIG_RUST=y/# CONFIG_RUST is not set/' "$HEADERS/.config"
	says "a kernel without CONFIG_RUST" "without CONFIG_RUST; boot"
	sed -i "/^CONFIG_KPROBES=/d" "$HEADERS/.config"
	says "a kernel without an option that is needed" "without CONFIG_KPROBES, which the module needs; boot"
	rm "$OUT/bin/rustc"
	says "no rustc" 'no rustc; install the kernel.s own, rustc 1\.'
	fake rustc "rustc 1.99.0 (of rustup)"
	says "another rustc" 'rustc is "rustc 1.99.0 .of rustup.", the kernel was built with "rustc 1\..*; install'
	fake rustc "$(rustc --version)"
	sed -i 2i'[ "$*" = --version ] || { echo /nowhere; exit; }' "$OUT/bin/rustc"
	says "no rust-src" 'source of Rust.s core library is missing; install .*rust-src'
	rm "$OUT/bin/bindgen"
	says "no bindgen" 'no bindgen; install bindgen [0-9.]* .Debian: apt install bindgen'
	fake bindgen "bindgen 0.65.1"
	says "another bindgen" 'bindgen is "bindgen 0.65.1", the kernel was built with'
	rm "$OUT/bin/aarch64-linux-gnu-gcc-14"
	says "no compiler" 'compiler aarch64-linux-gnu-gcc-14 is missing; install'
	fake aarch64-linux-gnu-gcc-14 "12.2.0"
	says "another compiler" 'has the version 12, the kernel was built with 14; install'
	rm "$OUT/bin/flex"
	says "no flex" 'program flex is missing; install it .Debian: apt install flex'
	rm "$OUT/bin/python3"
	says "no python3" 'program python3 is missing; install it .Debian: apt install python3'
	fake cc ""
	sed -i 2i'! grep -q openssl; exit' "$OUT/bin/cc"
	says "no headers of OpenSSL" 'OpenSSL are missing; install them .Debian: apt install libssl-dev'
	SOURCE=
	says "no source" 'no Rust metadata, and .*linux-source-7.*xz.* is missing; install it .Debian: apt install linux-source-7'
	# A kernel's scripts run DKMS while its packages are not configured yet.
	for state in 'install ok installed' 'hold ok installed' 'install ok unpacked' 'install ok half-configured' \
		'install ok triggers-awaited' 'install ok triggers-pending'; do
		SOURCE=
		installed "linux-headers-$RELEASE" 7.3.4-1 "$state"
		installed "linux-source-7.3" 7.3.4-2 "$state"
		touch "$OUT/system/usr/src/linux-source-7.3.tar.xz"
		says "source of another version, $state" 'linux-source-7.3 has the version 7.3.4-2, the kernel 7.3.4-1; install that one'
	done
	SOURCE=/nowhere
	says "BPF_PACK_SOURCE leads nowhere" 'is /nowhere, which does not exist'
	mkdir "$HEADERS/rust" && touch "$HEADERS/rust/libkernel.rmeta"
	says "metadata without libmacros.so" 'has no libmacros.so; install'
	mkdir "$HEADERS/rust" && touch "$HEADERS/rust/libkernel.rmeta"
	cp "$KIT/test_bpf.ko" "$HEADERS/rust/libmacros.so"
	says "libmacros.so of another machine" 'libmacros.so is for another machine than rustc; build'
}

# signs - without openssl, DKMS makes no key, says so in one line of many, and does not sign.
signs() {
	dpkg-deb -f "$(echo "$BUILD"/packages/bpf-pack-dkms_*.deb)" Depends >"$OUT/output"
	if tr ',' '\n' <"$OUT/output" | grep -qE '^ *openssl( |$)'; then
		result ok "the package depends on openssl, with which DKMS signs"
	else
		result "not ok" "the package depends on openssl, with which DKMS signs"
	fi
}

# with_dkms HEADERS SOURCE RELEASE COMMAND [ARGUMENT...] - a command of DKMS on a machine with
# these headers.
with_dkms() {
	local headers=$1 source=$2 release=$3 command=$4
	shift 4
	rm -rf "$OUT/modules" && mkdir -p "$OUT/modules/$release" "$TREE"
	ln -s "$headers" "$OUT/modules/$release/build"
	BPF_PACK_SOURCE=$source dkms "$command" "$@" -k "$release" -a aarch64 \
		--installtree "$OUT/modules" --dkmstree "$TREE" --sourcetree "${INSTALLED%/*}" >>"$OUT/output" 2>&1
}

# skips TEXT PATTERN HEADERS SOURCE [RELEASE] - it cannot be built. To DKMS that is no failure:
# with one, the package, or the kernel's, would not be configured.
skips() {
	local what=$1 pattern=$2 headers=$3 source=$4 release=${5:-$RELEASE} log=$TREE/bpf-pack/$VERSION/build/make.log
	local status=0
	rm -rf "$TREE" && mkdir -p "$TREE"
	: >"$OUT/output"
	with_dkms "$headers" "$source" "$release" build -m bpf-pack -v "$VERSION" || status=$?
	echo "build: $status" >>"$OUT/output"
	status=0
	with_dkms "$headers" "$source" "$release" autoinstall || status=$?
	echo "autoinstall: $status" >>"$OUT/output"
	[ ! -e "$log" ] || cat "$log" >>"$OUT/output"
	if grep -qx 'build: 77' "$OUT/output" && grep -qx 'autoinstall: 0' "$OUT/output" &&
		grep -q 'skipped for module(s) bpf-pack' "$OUT/output" && grep -qE "$pattern" "$OUT/output" &&
		[ -z "$(find "$TREE" -name metadata)" ]; then
		result ok "$what: DKMS skips it"
	else
		find "$TREE" -name metadata >>"$OUT/output"
		result "not ok" "$what: DKMS skips it"
	fi
}

# headers DIR - the headers of a kernel without Rust metadata, as Debian's are.
headers() {
	mkdir -p "$1/scripts" "$1/include"
	cp "$KIT/config" "$1/.config"
	cp "$KIT/Module.symvers" "$1/"
	touch "$1/Makefile"
	ln -s "$KIT/obj/scripts/sign-file" "$1/scripts/"
}

skipped() {
	headers "$OUT/headers-off"
	sed -i 's/^CONFIG_RUST=y/# CONFIG_RUST is not set/' "$OUT/headers-off/.config"
	skips "a kernel without CONFIG_RUST" 'BUILD_EXCLUSIVE directive' "$OUT/headers-off" ''
	skips "a kernel that is too old" 'BUILD_EXCLUSIVE directive' "$OUT/headers" '' 6.12.1-arm64
	skips "something is missing" 'BPF_PACK_SOURCE is /nowhere, which does not exist' "$OUT/headers" /nowhere
	mkdir "$OUT/no-source"
	skips "the build fails" "No rule to make target" "$OUT/headers" "$OUT/no-source"
}

# builds TEXT HEADERS SOURCE - DKMS builds and signs the module.
builds() {
	local what=$1 headers=$2 source=$3 tree=$TREE ko
	rm -rf "$TREE" && mkdir -p "$TREE"
	: >"$OUT/output"
	if with_dkms "$headers" "$source" "$RELEASE" build -m bpf-pack -v "$VERSION" &&
		ko=$(find "$tree" -name 'bpf_pack.ko*') && [ -n "$ko" ]; then
		result ok "$what"
	else
		cat "$tree/bpf-pack/$VERSION/build/make.log" >>"$OUT/output" 2>/dev/null || true
		result "not ok" "$what"
		return
	fi
	ko=$(find "$tree" -name 'bpf_pack.ko*')
	case $ko in *.xz) xz -d "$ko" && ko=${ko%.xz} ;; esac
	modinfo "$ko" >"$OUT/output"
	if [ "$(modinfo -F vermagic "$ko" | cut -d' ' -f1)" = "$RELEASE" ]; then
		result ok "it is for $RELEASE"
	else
		result "not ok" "it is for $RELEASE"
	fi
	if [ -n "$(modinfo -F signer "$ko")" ]; then
		result ok "it is signed with DKMS's key"
	else
		result "not ok" "it is signed with DKMS's key"
	fi
	if [ -z "$(find "$tree" -name metadata)" ]; then
		result ok "what was made for the build is gone"
	else
		result "not ok" "what was made for the build is gone"
	fi
}

# inside - in the packages' toolchain, with build/deb as the build folder.
inside() {
	OUT=$BUILD/dkms
	KIT=${BUILD%/*}/kit/arm64
	RELEASE=$(cat "$KIT/release")
	rm -rf "$OUT" && mkdir -p "$OUT"
	dpkg-deb -x "$(echo "$BUILD"/packages/bpf-pack-dkms_*.deb)" "$OUT/package"
	INSTALLED=$(echo "$OUT"/package/usr/src/bpf-pack-*)
	VERSION=${INSTALLED##*-}
	TREE=$OUT/dkms
	refusals
	signs
	headers "$OUT/headers"
	skipped
	builds "DKMS builds it with distributed metadata" "$KIT/obj" ''
	builds "DKMS builds it with metadata from the source" "$OUT/headers" "$KIT/source"
	[ "$failed" -eq 0 ]
}

main() {
	case ${1:-} in
	-h | --help)
		usage
		return
		;;
	_inside)
		inside
		return
		;;
	esac
	"$ROOT/scripts/deb" arm64 >/dev/null
	"$ROOT/scripts/deb" --run "$0" _inside
}

main "$@"
