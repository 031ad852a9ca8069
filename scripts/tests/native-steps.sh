#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The change of native/ fits the tested kernel's source, each step gives a patch that
# checkpatch has no error in, what it changes of C compiles with the registration, without it
# and without a JIT, and a kernel that one of the steps does not fit is named with the step.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=scripts/metadata.sh
. "$ROOT/scripts/metadata.sh"

# What the series changes or adds, and is compiled without a JIT, with one, and with a registration.
PLAIN='kernel/bpf/core.o kernel/bpf/fixups.o arch/arm64/kernel/patching.o'
JIT="$PLAIN arch/arm64/net/bpf_jit_comp.o"
OPS="$JIT kernel/bpf/prog_pack.o arch/arm64/mm/exec_block.o"

number=0 failed=0

# check NAME COMMAND... - one KTAP line; what COMMAND prints is shown if it fails.
check() {
	local name=$1 output
	shift
	number=$((number + 1))
	if output=$("$@" 2>&1); then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		failed=$((failed + 1))
		printf '%s\n' "$output" | tail -n 20 | sed 's/^/# /'
	fi
}

# apply SOURCE
apply() {
	rm -rf "$WORK/files" "$WORK/series"
	python3 -B "$ROOT/native/apply.py" "$1" "$WORK/files" "$WORK/series"
}

# all_fit - every step is a patch afterwards.
all_fit() {
	apply "$SOURCE" &&
		[ "$(find "$WORK/series" -name '*.patch' | wc -l)" -eq "$(find "$ROOT/native/series" -mindepth 1 -maxdepth 1 -type d | wc -l)" ]
}

# patches_are_clean - but for what the last one has of Rust, and for what checkpatch wants of a
# patch that is sent: who signed it off, and who maintains the files.
patches_are_clean() {
	local patch status=0
	for patch in "$WORK/series"/000[1-4]-*.patch; do
		perl "$SOURCE/scripts/checkpatch.pl" --no-tree --terse --quiet --no-summary \
			--ignore FILE_PATH_CHANGES,MISSING_SIGN_OFF,EXPORT_SYMBOL,NO_AUTHOR_SIGN_OFF "$patch" || status=1
	done
	return "$status"
}

# another_kernel FILE EDIT - MINI is a source with the files that the series changes, one of
# them edited as sed says.
another_kernel() {
	rm -rf "$MINI"
	cp -r "$WORK/needed" "$MINI"
	sed -i "$2" "$MINI/$1"
}

# does_not_fit STEP REASON FILE EDIT - the last line names the step, the one before the reason.
does_not_fit() {
	another_kernel "$3" "$4"
	! apply "$MINI" >"$WORK/output" || return
	tail -n 2 "$WORK/output"
	tail -n 1 "$WORK/output" | grep -qxF "this step does not fit this kernel: $1" &&
		tail -n 2 "$WORK/output" | head -n 1 | grep -q "$2"
}

# open_directory DIR - makes DIR of CHANGED a directory of links to what SOURCE has there.
open_directory() {
	[ "$1" != . ] || return 0
	# Its parents first: through a link to a parent this would write to SOURCE.
	open_directory "$(dirname "$1")"
	if [ -d "$CHANGED/$1" ] && [ ! -L "$CHANGED/$1" ]; then
		return
	fi
	rm -f "$CHANGED/$1"
	mkdir "$CHANGED/$1"
	[ ! -d "$SOURCE/$1" ] || ln -s "$SOURCE/$1"/* "$CHANGED/$1/"
}

# make_changed - CHANGED is the source with the change: links, but for what is new or edited.
make_changed() {
	local file
	mkdir "$CHANGED"
	ln -s "$SOURCE"/* "$CHANGED/"
	(cd "$WORK/files" && find . -type f) | while IFS= read -r file; do
		open_directory "$(dirname "${file#./}")"
		rm -f "$CHANGED/$file"
		ln -s "$WORK/files/$file" "$CHANGED/$file"
	done
}

# compiles OPTIONS OBJECT... - with a small configuration that has these OPTIONS, and without
# a word of the compiler or of kernel-doc.
compiles() {
	local wanted=$WORK/wanted obj=$WORK/obj
	# shellcheck disable=SC2086 # a list of words
	printf 'CONFIG_%s=y\n' NET BPF_SYSCALL MODULES EXPERT $1 >"$wanted"
	shift
	mkdir -p "$obj"
	KCONFIG_ALLCONFIG=$wanted kernel_make "$CHANGED" "$obj" -s allnoconfig || return
	if grep -vxF -f "$obj/.config" "$wanted"; then
		echo "this configuration cannot be had"
		return 1
	fi
	kernel_make "$CHANGED" "$obj" -s W=1 "$@" 2>&1 | tee "$WORK/output"
	[ "${PIPESTATUS[0]}" -eq 0 ] && ! grep -qi 'warning' "$WORK/output"
}

main() {
	enter_toolchain "$0" "$@"
	"$ROOT/scripts/kit" arm64
	SOURCE=$(readlink -f "$BUILD/kit/arm64/source")
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/bpf_pack-native.XXXXXX")
	MINI=$WORK/mini
	CHANGED=$WORK/changed
	cp "$BUILD/kit/arm64/make-args" "$WORK/make-args"
	trap 'rm -rf "$WORK"' EXIT
	check "all steps fit $(basename "$SOURCE")" all_fit
	check "checkpatch has nothing to say about the patches" patches_are_clean
	check "the source with the change can be put together" make_changed
	# shellcheck disable=SC2086 # lists of words
	{
		check "the change compiles without a JIT" compiles '' $PLAIN
		check "the change compiles with a JIT and without a registration" compiles BPF_JIT $JIT
		check "the change compiles with a registration" compiles 'BPF_JIT BPF_PROG_PACK_OPS' $OPS
	}
	# What is there before the series, of what it touches.
	(cd "$WORK/files" && find . -type f) | while IFS= read -r file; do
		[ ! -e "$SOURCE/$file" ] || install -D -m 644 "$SOURCE/$file" "$WORK/needed/$file"
	done
	check "a function that has another name: the step and its rule are named" \
		does_not_fit 1-registration 'fixups.cocci, rule load' kernel/bpf/fixups.c 's/bpf_fixup_call_args/bpf_fixup_calls/'
	check "a function that does something else: the step and its rule are named" \
		does_not_fit 2-text 'patching.cocci, rule poke' arch/arm64/kernel/patching.c 's/patch_unmap(FIX_TEXT_POKE0);/patch_unmap();/'
	check "a line that is not there: the step and the line are named" \
		does_not_fit 4-rust '0 lines of rust/kernel/lib.rs are: pub mod ptr;' rust/kernel/lib.rs 's/^pub mod ptr;/pub mod pointer;/'
	check "a line that is there twice: the step and the line are named" \
		does_not_fit 1-registration '2 lines of kernel/bpf/Kconfig are' kernel/bpf/Kconfig 's/^config BPF_JIT_DEFAULT_ON/&\n&/'
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
