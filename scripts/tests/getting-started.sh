#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs every command that Documentation/getting-started.md gives for the guest, in that
# order, in one guest, and then the shell that it describes. KTAP output; a command fails if
# its exit status is not 0.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

DOCUMENT=$ROOT/Documentation/getting-started.md
# Where the toolchain tree does not see it, as most directories of the machine.
WORK=$(mktemp -d /var/tmp/bpf_pack.XXXXXX)
trap 'rm -rf "$WORK"' EXIT

# guest_script - what the guest's shell is to do.
guest_script() {
	local number=0 command
	# shellcheck disable=SC2016 # the guest expands it
	echo 'PATH=$PATH:/kselftest/bpf_pack'
	# The one argument of each line is the command as the document has it.
	while read -r command; do
		number=$((number + 1))
		printf 'if { %s; } >/tmp/output 2>&1; then echo "ok %d - getting started: %s"; else\n' \
			"$command" "$number" "$command"
		printf 'echo "not ok %d - getting started: %s"; fi\nsed "s/^/# /" /tmp/output\n' "$number" "$command"
	done
	echo "echo 1..$number"
}

mkdir "$WORK/overlay"
sed -n 's/^    ~ # //p' "$DOCUMENT" | guest_script >"$WORK/commands"
ln -s "$WORK/commands" "$WORK/overlay/commands.sh"
[ "$(grep -c '^if' "$WORK/commands")" -ge 10 ] || die "no commands in $DOCUMENT"
(cd "$WORK" && "$ROOT/scripts/vm" --timeout 1200 --overlay overlay -- sh /overlay/commands.sh >said)
cat "$WORK/said"
"$ROOT/scripts/tests/vm-shell.sh" | tee "$WORK/shell"
! grep -q '^not ok' "$WORK/said" "$WORK/shell"
