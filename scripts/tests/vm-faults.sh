#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests the failure paths of scripts/vm, with shell scripts in the place of QEMU that
# misbehave, and with the real QEMU and a guest that misbehaves. KTAP output.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

number=0 failed=0
# Seconds for a script in the place of QEMU.
PATIENCE=60

# expect NAME STATUS PATTERN COMMAND... - COMMAND must end with STATUS and print a line
# that matches PATTERN to standard output or standard error.
expect() {
	local name=$1 wanted=$2 pattern=$3 status=0
	shift 3
	number=$((number + 1))
	"$@" >"$WORK/output" 2>&1 || status=$?
	if [ "$status" -eq "$wanted" ] && grep -qE -- "$pattern" "$WORK/output"; then
		echo "ok $number - vm: $name"
	else
		echo "not ok $number - vm: $name"
		echo "# status $status, wanted $wanted and a line like: $pattern"
		tail -n 15 "$WORK/output" | sed 's/^/# /'
		failed=$((failed + 1))
	fi
}

# with_fake BODY ARGUMENT... - scripts/vm with the shell script BODY in the place of QEMU;
# BODY has $console and $nonce.
with_fake() {
	cat >"$WORK/qemu" <<FAKE
#!/bin/bash
for argument in "\$@"; do
	case \$argument in file:*) console=\${argument#file:} ;; esac
	case \$argument in */initrd) initrd=\$argument ;; esac
done
nonce=\$(cpio -i --quiet --to-stdout vm/nonce <"\${initrd%/*}/extra.cpio")
$1
FAKE
	chmod +x "$WORK/qemu"
	shift
	BPF_PACK_QEMU=$WORK/qemu "$ROOT/scripts/vm" --timeout "$PATIENCE" "$@"
}

vm() {
	"$ROOT/scripts/vm" --timeout 1200 "$@"
}

# shellcheck disable=SC2016 # the script's shell expands these
faults_with_fakes() {
	expect "QEMU that does not start gives 69" 69 'QEMU ended with status 1: .*no such machine' \
		with_fake 'echo "no such machine" >&2; exit 1' -- true
	expect "no verdict gives 69" 69 '0 verdicts on the console' \
		with_fake 'echo "Linux is here" >"$console"' -- true
	expect "two verdicts give 69" 69 '2 verdicts on the console' \
		with_fake 'for _ in 1 2; do echo "vm-verdict $nonce 0"; done >"$console"' -- true
	expect "a verdict that the command made up gives 69" 69 '0 verdicts on the console' \
		with_fake 'echo "vm-verdict 0123456789abcdef 0" >"$console"' -- true
	expect "one verdict gives the status in it" 0 'hello' \
		with_fake 'echo "vm-verdict $nonce 0" >"$console"; echo hello' -- true
	PATIENCE=5
	expect "a hang gives 69" 69 'no end within 5 s' with_fake 'exec sleep 60' -- true
	PATIENCE=60
	local complaint
	for complaint in 'WARNING: CPU: 0 PID: 1 at mm/x.c:1' 'BUG: sleeping function' \
		'Internal error: Oops: 96000004' 'rcu: INFO: rcu_preempt detected stalls' \
		'watchdog: BUG: soft lockup' 'Unable to handle kernel paging request' 'Kernel panic - not syncing'; do
		expect "a command that succeeds, and \"${complaint%%:*}\" on the console, give 70" 70 'the kernel complained' \
			with_fake 'echo "vm-verdict $nonce 0" >"$console"; echo "'"$complaint"'" >>"$console"' -- true
	done
}

# shellcheck disable=SC2016 # the guest's shell expands these
faults_with_qemu() {
	expect "the status of the command comes out of the guest" 3 'from the guest' vm -- 'echo from the guest; exit 3'
	expect "a machine that QEMU does not have gives 69" 69 'QEMU ended with status' \
		vm --qemu-arg -M --qemu-arg nonsense -- true
	expect "a panic of the guest gives 70" 70 'Kernel panic' \
		vm -- 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 5'
	expect "the guest has the CPUs and the overlay that were asked for" 0 '^4 seen$' \
		vm --cpus 4 --overlay "$WORK/overlay" -- 'echo "$(nproc) $(cat /overlay/file)"'
	expect "a call without a command is refused" 1 'no command' "$ROOT/scripts/vm" --cpus 2
	expect "a shell without a terminal is refused" 1 '--shell needs a terminal' "$ROOT/scripts/vm" --shell
	expect "a shell with a command is refused" 1 '--shell takes no command' "$ROOT/scripts/vm" --shell -- true
	expect "an unknown option is refused" 1 'unknown argument: --nonsense' "$ROOT/scripts/vm" --nonsense
}

main() {
	enter_toolchain "$0" "$@"
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
	mkdir "$WORK/overlay" && echo seen >"$WORK/overlay/file"
	faults_with_fakes
	faults_with_qemu
	echo "1..$number"
	[ "$failed" -eq 0 ]
}

main "$@"
