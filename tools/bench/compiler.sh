#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# compiler.sh OUT - makes OUT/root, a root directory with the distribution's arm64 gcc
# (without a linker) and the source of a real program, dtc from the kernel's source
# package. A guest runs it beside the original workload; nothing of it runs on the host.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

RECIPE_VERSION=1
PACKAGES=(cpp-14-aarch64-linux-gnu gcc-14-aarch64-linux-gnu libgcc-14-dev binutils-aarch64-linux-gnu
	libbinutils libsframe1 libgmp10 libisl23 libmpc3 libmpfr6
	libc6 libc6-dev libzstd1 zlib1g)
TRIPLET=aarch64-linux-gnu
GCC=usr/lib/gcc/$TRIPLET/14
LIBEXEC=usr/libexec/gcc/$TRIPLET/14

download() {
	local package arm64=()
	for package in "${PACKAGES[@]}"; do
		arm64+=("$package:arm64")
	done
	[ -e "$APT/lists/lock" ] || apt_private apt-get -q update
	(cd "$1" && apt_private apt-get -q download "${arm64[@]}" linux-libc-dev)
}

# libraries FROM ROOT FILE... - copies the shared libraries that FILEs need.
libraries() {
	local from=$1 root=$2 file needed found
	shift 2
	for file in "$@"; do
		for needed in $(llvm-readelf --needed-libs "$file" | grep -o '[a-z][^ ]*\.so[^ ]*'); do
			[ ! -e "$root/usr/lib/$TRIPLET/$needed" ] || continue
			found=$from/usr/lib/$TRIPLET/$needed
			[ -e "$found" ] || {
				echo "$file: $needed is in no package"
				return 1
			}
			cp -L "$found" "$root/usr/lib/$TRIPLET/$needed"
			libraries "$from" "$root" "$found"
		done
	done
}

# program SOURCE DIR - copies the program's files; flex and bison run here.
program() {
	local source=$1/scripts/dtc dir=$2 name
	mkdir -p "$dir/libfdt"
	for name in dtc flattree fstree data livetree treesource srcpos checks util; do
		cp "$source/$name.c" "$dir/"
	done
	cp "$source"/*.h "$dir/"
	cp "$source"/libfdt/*.h "$dir/libfdt/"
	flex -o "$dir/dtc-lexer.lex.c" "$source/dtc-lexer.l"
	bison -d -o "$dir/dtc-parser.tab.c" "$source/dtc-parser.y"
}

# headers FROM ROOT - copies the headers that the program's files include, and no others.
headers() {
	local from=$1 root=$2 header
	$TRIPLET-gcc-14 -M -O2 -nostdinc -fno-canonical-system-headers -DNO_YAML -I"$root/dtc" -I"$root/dtc/libfdt" -isystem "$from/$GCC/include" \
		-isystem "$from/usr/include/$TRIPLET" -isystem "$from/usr/include" "$root"/dtc/*.c |
		tr -s '[:space:]' '\n' | grep "^$from/" | sort -u | while read -r header; do
		mkdir -p "$(dirname "$root/${header#"$from/"}")"
		cp -L "$header" "$root/${header#"$from/"}"
	done
}

# stage FROM ROOT - fills ROOT; links become files, because scripts/vm would follow them.
stage() {
	local from=$1 root=$2 name
	mkdir -p "$root"/{lib,tmp} "$root"/usr/bin "$root/usr/lib/$TRIPLET" "$root/$LIBEXEC"
	cp -L "$from/usr/bin/$TRIPLET-gcc-14" "$root/usr/bin/gcc"
	cp -L "$from/usr/bin/$TRIPLET-as" "$root/usr/bin/as"
	cp -L "$from/$LIBEXEC/cc1" "$root/$LIBEXEC/"
	libraries "$from" "$root" "$root"/usr/bin/* "$root/$LIBEXEC"/*
	cp -L "$from/usr/lib/$TRIPLET/ld-linux-aarch64.so.1" "$root/lib/"
	program "$BUILD/kit/arm64/source" "$root/dtc"
	headers "$from" "$root"
}

make_compiler() {
	local out=$1
	rm -rf "$out" && mkdir -p "$out/debs"
	download "$out/debs"
	for deb in "$out"/debs/*.deb; do
		dpkg -x "$deb" "$out/all"
	done
	stage "$out/all" "$out/root"
	rm -rf "$out/all" "$out/debs"
}

main() {
	[ $# -eq 1 ] || die "usage: compiler.sh OUT"
	local want
	want="$RECIPE_VERSION $(cat "$0" "$BUILD/kit/arm64/version" | sha256sum | cut -c1-16)"
	[ "$(cat "$1/ready" 2>/dev/null)" != "$want" ] || return 0
	enter_toolchain "$(realpath "$0")" "$@"
	step "make the compiler that runs beside the original workload" \
		"check that the package mirror is in reach" make_compiler "$1"
	echo "$want" >"$1/ready"
}

main "$@"
