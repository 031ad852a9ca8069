#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the demo and checks what it shows. KTAP output.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

number=0 failed=0

# expect NAME COMMAND... - a case that passes where COMMAND does.
expect() {
	local name=$1
	shift
	number=$((number + 1))
	if "$@" >/dev/null; then
		echo "ok $number - demo: $name"
	else
		echo "not ok $number - demo: $name"
		failed=$((failed + 1))
	fi
}

# rows TABLE LEAF - how many rows of the table "Before" or "After" name LEAF.
rows() {
	awk -v table="$1:" -v leaf="$2" '
		/^(Before|After):/ { here = $1 == table }
		here && index($0, leaf) && /returned|ran on/ { count++ }
		END { print count + 0 }' "$OUTPUT"
}

main() {
	OUTPUT=$(mktemp)
	trap 'rm -f "$OUTPUT"' EXIT
	local status=0
	"$ROOT/scripts/demo" >"$OUTPUT" || status=$?
	sed 's/^/# /' "$OUTPUT"
	expect "it succeeds" test "$status" -eq 0
	expect "8 programs on 4 KiB pages before" test "$(rows Before '4 KiB page')" -eq 8
	expect "8 programs in a 2 MiB block after" test "$(rows After '2 MiB block')" -eq 8
	expect "rmmod is refused while programs are alive" grep -q 'is in use' "$OUTPUT"
	expect "rmmod succeeds after they are gone" grep -q '^removed$' "$OUTPUT"
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
