#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The unit tests that the test build has for the parts that touch memory (rust/unit.rs),
# and the same as suites of KUnit where the kernel has that.
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

start_test unit
need_module bpf_pack_test

KUNIT=$DEBUGFS/kunit

# unit_cases - the KTAP lines of the module, with the totals that take_cases wants.
unit_cases() {
	log_since_mark | sed -nE 's/^.*bpf_pack: ((not )?ok [0-9]+ - .*)$/\1/p'
	echo "# Totals:"
}

# kunit_passes SUITE - KUnit runs all cases of it, and none fails.
kunit_passes() {
	echo any >"$KUNIT/$1/run"
	cat "$KUNIT/$1/results"
	grep -q '^ok 1 ' "$KUNIT/$1/results" || grep -q "^ *# $1: pass:[1-9][0-9]* fail:0" "$KUNIT/$1/results"
}

check "insmod succeeds" load_test_pack
mark_log
check "the unit tests run" control unit
unit_cases >"$WORK/cases"
take_cases unit <"$WORK/cases"
for suite in bpf_pack_region bpf_pack_poke bpf_pack_service bpf_pack_packs; do
	if [ -e "$KUNIT/$suite/run" ]; then
		check "KUnit: $suite passes" kunit_passes "$suite"
	else
		skip_case "KUnit: $suite passes" "this kernel has no KUnit in debugfs"
	fi
done
check "rmmod succeeds" unload_pack
finish_test
