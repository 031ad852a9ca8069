#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs tests one after the other; the last line has the totals of all cases.
set -eu

usage() {
	cat <<USAGE
Usage: run_all.sh [TEST]...

Runs each TEST ("load" or "test-load.sh"; default: all of them) and prints its KTAP
lines and, at the end, the totals of all tests. Status 1 if a case failed or a test
ended without its totals; a test or case that was skipped is no failure.
USAGE
}

case ${1:-} in -h | --help)
	usage
	exit 0
	;;
esac

DIR=$(cd "$(dirname "$0")" && pwd)
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

if [ $# -eq 0 ]; then
	for script in "$DIR"/test-*.sh; do
		# After this one the module stays until the next boot.
		[ "$script" = "$DIR/test-lost.sh" ] || set -- "$@" "$script"
	done
fi

passed=0 failed=0 skipped=0
for name in "$@"; do
	name=${name##*/}
	name=${name#test-}
	name=${name%.sh}
	started=$(date +%s)
	sh "$DIR/test-$name.sh" 2>&1 | tee "$LOG"
	echo "# $name took $(($(date +%s) - started)) s"
	counts=$(awk '
		/^ok .*# SKIP/ { skipped++; next }
		/^ok / { passed++ }
		/^not ok / { failed++ }
		/^# Totals:/ { complete = 1 }
		END {
			if (!complete)
				failed++
			print passed + 0, failed + 0, skipped + 0
		}' "$LOG")
	passed=$((passed + ${counts%% *}))
	skipped=$((skipped + ${counts##* }))
	counts=${counts#* }
	failed=$((failed + ${counts% *}))
done
echo "# totals: pass:$passed fail:$failed skip:$skipped"
[ "$failed" -eq 0 ]
