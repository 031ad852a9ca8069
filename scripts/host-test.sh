#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the tests that need no kernel: those of the allocator's decisions, of the
# page-table walk, of the TLB model and of the operator's tool. They run with the Rust
# of the host, if there is one, and with the Rust that the kernel was built with.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

CRATES=(rust/pack_core rust/pagetable tools/tlb-model)
# The crate that uses those of others; with the Rust of the toolchain only, to build them once.
TOOL=tools/bpfpack
# Source files without a crate of their own.
FILES=(rust/plan.rs rust/a64.rs)
WORK=$BUILD/host-test

usage() {
	cat <<USAGE
Usage: scripts/host-test.sh [--all]

Runs the host tests with the host's cargo, if it has one, and with the cargo of
the toolchain tree, if that was set up; inside the tree only with that.

  --all   also runs the tests that take minutes

The last line is "host tests: N passed, N failed, N skipped", summed from what
the test runners said. The exit status is 0 only if some test ran and none failed.

Environment:
  SEED               run the seeded tests with this seed alone: a failing test
                     prints the seed to use
USAGE
}

passed=0 failed=0 skipped=0
SELECTION=()

# cargo_test CRATE TARGET OUTPUT COMMAND... - tests CRATE with "COMMAND... cargo"
# and keeps what the runners said in OUTPUT.
cargo_test() {
	local crate=$1 target=$2 output=$3
	shift 3
	"$@" env CARGO_TARGET_DIR="$target" CARGO_TERM_COLOR=never \
		cargo test --manifest-path "$ROOT/$crate/Cargo.toml" --offline --locked \
		--no-fail-fast -- "${SELECTION[@]}" 2>&1 | tee "$output"
}

# sum OUTPUT - adds up the result lines of all runners in OUTPUT and prints
# "PASSED FAILED IGNORED RUNNERS".
sum() {
	awk '/^test result: / {
		for (i = 2; i <= NF; i++) {
			if ($i == "passed;") passed += $(i - 1)
			if ($i == "failed;") failed += $(i - 1)
			if ($i == "ignored;") ignored += $(i - 1)
		}
		runners++
	}
	END { printf "%d %d %d %d\n", passed, failed, ignored, runners }' "$1"
}

# file_test FILE BINARY OUTPUT COMMAND... - tests a single source file with
# "COMMAND... rustc" and keeps what the runner said in OUTPUT.
file_test() {
	local file=$1 binary=$2 output=$3
	shift 3
	mkdir -p "$(dirname "$binary")"
	"$@" rustc --edition 2021 --test "$ROOT/$file" -o "$binary" >"$output" 2>&1
	"$@" "$binary" 2>&1 | tee -a "$output"
}

# run NAME SUBJECT OUTPUT TEST... - runs one test command and adds up its results.
run() {
	local name=$1 subject=$2 output=$3 status=0 p f i runners
	shift 3
	mkdir -p "$WORK"
	: >"$output"
	attempt "host tests of $subject ($name)" "read $output; a failing seeded test names its SEED" \
		"$@" || status=$?
	read -r p f i runners < <(sum "$output")
	if [ "$status" -ne 0 ]; then
		grep -E "panicked at|^SEED=|^error" "$output" >&2 || true
		# A run that broke off has no failed test to show for it.
		[ "$f" -gt 0 ] || f=1
	fi
	grep -E '^test .* \.\.\. ignored' "$output" | sed 's/^test /  skipped: /' >&2 || true
	say "  $name: $p passed, $f failed, $i skipped in $runners runners"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + i))
}

# suite NAME COMMAND... - all tests, with "COMMAND... cargo" and "COMMAND... rustc".
suite() {
	local name=$1 subject output
	shift
	for subject in "${CRATES[@]}"; do
		output=$WORK/$name-${subject##*/}.out
		run "$name" "$subject" "$output" cargo_test "$subject" "$WORK/$name" "$output" "$@"
	done
	for subject in "${FILES[@]}"; do
		output=$WORK/$name-$(basename "$subject" .rs).out
		run "$name" "$subject" "$output" \
			file_test "$subject" "$WORK/$name/$(basename "$subject" .rs)" "$output" "$@"
	done
}

# tool_suite NAME COMMAND... - the tests of the operator's tool, where tools/bpfpack/run builds it.
tool_suite() {
	local name=$1 output=$WORK/$1-${TOOL##*/}.out
	shift
	"$ROOT/$TOOL/run" fetch
	run "$name" "$TOOL" "$output" cargo_test "$TOOL" "$BUILD/bpfpack/target" "$output" "$@"
}

# host_rust_is_new - whether the host's cargo works and is one that the crates allow.
host_rust_is_new() {
	local version
	version=$(cargo --version 2>/dev/null && rustc --version 2>/dev/null) || return 1
	version=$(sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p' <<<"$version")
	[ "${version:-0}" -ge 85 ]
}

# skip REASON - counts a suite that cannot run here.
skip() {
	say "  skipped: $1"
	skipped=$((skipped + 1))
}

case ${1:-} in
'') ;;
--all) SELECTION=(--include-ignored) ;;
-h | --help)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 2
	;;
esac

if in_toolchain; then
	suite kernel-rust
	tool_suite kernel-rust
else
	if host_rust_is_new; then
		suite host-rust
	else
		skip "the host has no Rust of version 1.85 or later"
	fi
	if "$ROOT/scripts/toolchain" status >/dev/null 2>&1; then
		suite kernel-rust "$ROOT/scripts/toolchain" run
		tool_suite kernel-rust "$ROOT/scripts/toolchain" run
	else
		skip "no toolchain tree; scripts/toolchain setup makes it"
	fi
fi

echo "host tests: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
