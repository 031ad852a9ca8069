#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A kernel with another prototype must give a build error that names the function. Builds
# the module with headers in which one prototype was changed. A kernel tree for which the
# module cannot be built must give a sentence that says why. KTAP output.
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

# vermagic MODULE - the kernel and the options that a module is for.
vermagic() {
	grep -ao 'vermagic=[[:print:]]*' "$1"
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

# moved - a kit in another place builds there, without a word of where it was.
moved() {
	local to=$WORK/moved
	mkdir -p "$to/kit" "$to/out"
	cp -a "$KIT" "$to/kit/arm64"
	ln -s "$BUILD/src" "$to/src"
	if BPF_PACK_BUILD=$to "$ROOT/scripts/kit" arm64 2>"$WORK/log" &&
		make -C "$to/kit/arm64/obj" M="$ROOT/rust" MO="$to/out" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
			CC=aarch64-linux-gnu-gcc-14 HOSTCC=gcc prototypes.o >"$WORK/log" 2>&1 &&
		[ "$(readlink "$to/kit/arm64/obj/source")" = "$to/src/linux-$(cat "$KIT/version")" ] &&
		! grep -qF "$KIT/" "$to/out/.prototypes.o.cmd"; then
		result ok "a checkout that was moved builds"
	else
		result "not ok" "a checkout that was moved builds"
		tail -n 5 "$WORK/log" | sed 's/^/# /'
	fi
	rm -rf "$to"
}

# no_such_kernel - make with a KERNEL= that there is not says one line.
no_such_kernel() {
	local goal
	for goal in demo module test; do
		if ! make -s -C "$ROOT" "$goal" KERNEL=nonsense >"$WORK/log" 2>&1 &&
			[ "$(grep -cv '^make[:[]' "$WORK/log")" -eq 1 ] && grep -q 'no kernel "nonsense", only: arm64' "$WORK/log"; then
			result ok "make $goal KERNEL=nonsense says one line"
		else
			result "not ok" "make $goal KERNEL=nonsense says one line"
			head -n 5 "$WORK/log" | sed 's/^/# /'
		fi
	done
}

# tree - makes WORK/tree, which looks like a prepared kernel tree.
tree() {
	rm -rf "$WORK/tree"
	mkdir -p "$WORK/tree/include/config" "$WORK/tree/rust"
	cp "$KIT/obj/include/config/auto.conf" "$KIT/obj/include/config/kernel.release" "$WORK/tree/include/config/"
	cp "$KIT/obj/Makefile" "$KIT/obj/Module.symvers" "$WORK/tree/"
	cp "$KIT/obj/rust/libcore.rmeta" "$KIT/obj/rust/libkernel.rmeta" "$KIT/obj/rust/libmacros.so" "$WORK/tree/rust/"
}

# refused WHAT SENTENCE COMMAND... - make module KDIR= gives this sentence alone, after
# COMMAND has changed a tree that is well.
refused() {
	local what=$1 sentence=$2
	shift 2
	tree
	(cd "$WORK/tree" && "$@")
	if make -s -C "$ROOT" module KDIR="$WORK/tree" >"$WORK/refused" 2>&1; then
		result "not ok" "$what: accepted"
	elif grep -q "$sentence" "$WORK/refused" && [ "$(grep -vc '^make' "$WORK/refused")" -eq 1 ]; then
		result ok "$what: one sentence says so"
	else
		result "not ok" "$what: the sentence is another"
		sed 's/^/# /' "$WORK/refused"
	fi
}

# trees - kernel trees that cannot be used, and one that can.
trees() {
	local conf=include/config/auto.conf
	refused "no prepared tree" 'is no prepared kernel tree' rm "$conf"
	refused "a kernel for another machine" 'is not for arm64' sed -i '/^CONFIG_ARM64=/d' "$conf"
	refused "a kernel without Rust" 'has no Rust: CONFIG_RUST is not set' sed -i '/^CONFIG_RUST=/d' "$conf"
	refused "a kernel that is too old" 'it is 6.18.3-old, and the module is written for 7.2 and later' \
		sh -c 'echo 6.18.3-old >include/config/kernel.release'
	refused "a kernel without a needed option" 'without CONFIG_KPROBES, which the module needs' \
		sed -i '/^CONFIG_KPROBES=/d' "$conf"
	refused "no Rust metadata" 'has no Rust metadata: rust/libkernel.rmeta is missing' rm rust/libkernel.rmeta
	refused "metadata of another machine" 'made on another kind of machine' \
		sh -c 'printf "\010\000" | dd of=rust/libmacros.so bs=1 seek=18 conv=notrunc status=none'
	refused "no Module.symvers" 'has no Module.symvers' rm Module.symvers
	refused "another rustc" 'was built with "rustc 1.2.3".*only the same one' \
		sed -i 's/^CONFIG_RUSTC_VERSION_TEXT=.*/CONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3"/' "$conf"
	refused "no such compiler" 'no-gcc-9 is not in PATH' \
		sed -i 's/^CONFIG_CC_VERSION_TEXT=.*/CONFIG_CC_VERSION_TEXT="no-gcc-9 (Nobody) 9"/' "$conf"
	rm -rf "$BUILD/module/$(cat "$KIT/release")"
	# Paths are in a module: it is not the same to the byte.
	if make -s -C "$ROOT" module KDIR="$KIT/obj" >"$WORK/path" 2>"$WORK/log" &&
		[ "$(vermagic "$(tail -n 1 "$WORK/path")")" = "$(vermagic "$BUILD/module/arm64/bpf_pack.ko")" ]; then
		result ok "a prepared tree: the module is for the kernel of make module KERNEL="
	else
		result "not ok" "a prepared tree: no module, or another one"
		tail -n 5 "$WORK/log" "$WORK/path" | sed 's/^/# /'
	fi
	if make -s -C "$ROOT" demo KERNEL=nosuch >"$WORK/log" 2>&1 || [ "$(grep -vc '^make' "$WORK/log")" -ne 1 ]; then
		result "not ok" "a flavour that is not there: more than one line"
		sed 's/^/# /' "$WORK/log"
	else
		result ok "a flavour that is not there: one line says so"
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
	moved
	no_such_kernel
	"$ROOT/scripts/module" arm64 >/dev/null
	trees
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
