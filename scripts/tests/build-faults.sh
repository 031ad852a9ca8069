#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A kernel with another prototype must give a build error that names the function. Builds
# the module with headers in which one prototype was changed. KTAP output.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

KIT=$BUILD/kit/arm64
number=0 failed=0

result() {
	number=$((number + 1))
	echo "$1 $number - build: $2"
	[ "$1" = ok ] || failed=$((failed + 1))
}

# build WORK - the module against the kit, with the headers in WORK/include first.
build() {
	make -C "$KIT/obj" M="$ROOT/rust" MO="$1/out" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
		CC=aarch64-linux-gnu-gcc-14 HOSTCC=gcc NOSTDINC_FLAGS="-nostdinc -I$1/include" \
		prototypes.o >"$1/log" 2>&1
}

# changed FUNCTION HEADER SED-EXPRESSION - the build fails and names FUNCTION.
changed() {
	local function=$1 header=$2 expression=$3 work=$WORK/$1
	mkdir -p "$work/include/$(dirname "$header")" "$work/out"
	sed "$expression" "$KIT/source/include/$header" >"$work/include/$header"
	if cmp -s "$KIT/source/include/$header" "$work/include/$header"; then
		result "not ok" "$function: the header was not changed by $expression"
	elif build "$work"; then
		result "not ok" "$function: a changed prototype was accepted"
	elif grep -q "prototype of $function() is not the one" "$work/log"; then
		result ok "$function: a changed prototype gives an error that names it"
	else
		result "not ok" "$function: the error does not name it"
		grep error "$work/log" | head -n 5 | sed 's/^/# /'
	fi
}

main() {
	enter_toolchain "$0" "$@"
	"$ROOT/scripts/kit" arm64
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
	mkdir -p "$WORK/same/include" "$WORK/same/out"
	if build "$WORK/same"; then
		result ok "the kernel's own prototypes are accepted"
	else
		result "not ok" "the kernel's own prototypes are refused"
		grep error "$WORK/same/log" | sed 's/^/# /'
	fi
	changed bpf_prog_pack_free linux/filter.h 's/void bpf_prog_pack_free(void \*ptr, u32 size)/void bpf_prog_pack_free(void *ptr, u64 size)/'
	changed bpf_prog_pack_alloc linux/filter.h 's/bpf_fill_ill_insns, bool was_classic);/bpf_fill_ill_insns, int was_classic);/'
	changed bpf_arch_text_copy linux/bpf.h 's/void \*bpf_arch_text_copy(void \*dst, void \*src, size_t len)/int bpf_arch_text_copy(void *dst, void *src, size_t len)/'
	changed __vmalloc_node_range_noprof linux/vmalloc.h 's/^extern void \*__vmalloc_node_range_noprof(unsigned long size, /extern void *__vmalloc_node_range_noprof(unsigned int size, /'
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
