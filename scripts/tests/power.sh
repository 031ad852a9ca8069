#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sleep, hibernation, kexec and crash dumps of a system on which BPF programs run, without
# the module and with it. KTAP output. The guest's part is scripts/guest/power.sh.
#
# scripts/vm runs a command in one boot. Here a machine boots twice, or its kernel is meant
# to crash, so that this script starts QEMU itself, with the machine and the files of
# scripts/vm.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

OUT=$BUILD/power
DEBS=$OUT/debs
FILES=$OUT/files
LIBRARIES=usr/lib/aarch64-linux-gnu
PACKAGES=(kexec-tools)
RECIPE_VERSION=1
CASES='freeze hibernation hibernation_bbm kexec crash'
# Seconds for a boot. It needs a tenth of that, but the host may be busy.
TIMEOUT=${BPF_PACK_POWER_TIMEOUT:-1800}
QEMU=${BPF_PACK_QEMU:-qemu-system-aarch64}
COMPLAINTS='WARNING:|BUG:|Oops|Unable to handle|rcu:.*(stall|detected)|soft lockup|INFO: task .* blocked'

failed=0

usage() {
	cat <<USAGE
Usage: scripts/tests/power.sh [WHAT[.SIDE]]...

Boots guests in which BPF programs run while the system

  freeze           is suspended to idle and woken by the clock
  hibernation      hibernates and goes on: without a boot, and after power off and boot
  hibernation_bbm  the same on a CPU with which the linear map has large leaves
  kexec            is replaced by another kernel, in which programs run again
  crash            crashes, and a second kernel reads the dump

each on the stock kernel (SIDE stock) and with the module (SIDE module). Default: all.

The guests' output and consoles are kept in build/power. The guest is an initramfs with
busybox, without an init system.
USAGE
}

# --- the guest's files -------------------------------------------------------

# download - the packages with all that they depend on, chosen by apt as for an arm64
# machine on which nothing is installed.
download() {
	rm -rf "$DEBS" && mkdir -p "$DEBS/partial"
	: >"$OUT/empty-status"
	apt_private apt-get -o APT::Architecture=arm64 -q update
	apt_private apt-get -o APT::Architecture=arm64 -o Dir::State::status="$OUT/empty-status" \
		-o Dir::Cache::archives="$DEBS" -q -y --no-install-recommends --download-only \
		install "${PACKAGES[@]}"
}

# needed_libraries ROOT FILE... - the libraries that FILE... load, one a line.
needed_libraries() {
	local root=$1 file name
	shift
	for file in "$@"; do
		for name in $(llvm-readelf --needed-libs "$file" | grep -o '[a-zA-Z][^ ]*\.so[^ ]*'); do
			[ -e "$root/$LIBRARIES/$name" ] || {
				echo "$file needs $name" >&2
				return 1
			}
			echo "$root/$LIBRARIES/$name"
		done
	done
}

# stage - the packages' programs with their libraries, which need not be the guest's, and
# the driver of the disks.
stage() {
	local root=$OUT/root to=$FILES/kexec deb libraries=() count=-1
	rm -rf "$root" "$FILES" && mkdir -p "$root/usr/lib" "$to"
	ln -s usr/lib "$root/lib"
	for deb in "$DEBS"/*.deb; do
		dpkg --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --no-same-owner \
			--exclude './usr/share/*' --exclude './usr/lib/*/perl*'
	done
	cp -L "$(find "$root" -name kexec -type f)" "$to/"
	while [ "$count" -ne "${#libraries[@]}" ]; do
		count=${#libraries[@]}
		mapfile -t libraries < <(needed_libraries "$root" "$to/kexec" "${libraries[@]}" | sort -u)
	done
	[ "$count" -gt 0 ] || return
	cp -L "${libraries[@]}" "$to/"
	cat >"$to/run" <<'RUN'
#!/bin/sh
# run PROGRAM ARGUMENT... - with the libraries beside it.
dir=$(dirname "$0")
exec "$dir/ld-linux-aarch64.so.1" --library-path "$dir" "$dir/$@"
RUN
	chmod +x "$to/run"
	deb=$(ls "$BUILD/cache/debs/linux-modules-$(cat "$BUILD/kit/arm64/release")_"*.deb)
	dpkg --fsys-tarfile "$deb" | tar -xO --wildcards '*/drivers/block/virtio_blk.ko.xz' | xz -dc >"$FILES/virtio_blk.ko"
	cp "$ROOT/scripts/guest/power.sh" "$FILES/"
	rm -rf "$root"
}

make_files() {
	local want
	want="$RECIPE_VERSION ${PACKAGES[*]}"
	if [ "$(cat "$DEBS/ready" 2>/dev/null)" != "$want" ]; then
		step "download kexec-tools" "check that the package mirror is in reach and run it again" \
			retry download
		echo "$want" >"$DEBS/ready"
	fi
	step "put the guest's files together" "read the message above" stage
}

# --- the machine -------------------------------------------------------------

# cpu CASE - hibernation_bbm needs a CPU model that may change the size of leaves in the
# live linear map; the kernel knows these by name, here Neoverse V3 r0p2.
cpu() {
	case $1 in
	hibernation_bbm.*) echo max,pauth-impdef=on,midr=0x410fd842 ;;
	*) echo neoverse-n1 ;;
	esac
}

# boot WORDS ARGUMENT... - one run of QEMU, with WORDS more on the command line. GICv2: with
# version 3, kexec crashes on the stock kernel, too.
boot() {
	local words=$1 machine=()
	shift
	read -ra machine < <("$ROOT/scripts/vm" --show-machine --memory 1G \
		--qemu-arg -M --qemu-arg virt,gic-version=2 --qemu-arg -cpu --qemu-arg "$(cpu "$NAME")")
	timeout --foreground --kill-after=5 "$TIMEOUT" nice -n 5 "$QEMU" "${machine[@]}" \
		-display none -monitor none -no-reboot -nic none \
		-kernel "$BUILD/kit/arm64/vmlinuz" -initrd "$OUT/$NAME.initrd" \
		-append "console=ttyAMA0 panic=-1 oops=panic log_buf_len=4M watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 $words" \
		-serial "chardev:console" -chardev "file,id=console,path=$CONSOLE,append=on" \
		-serial "chardev:command" -chardev "file,id=command,path=$OUTPUT,append=on" \
		"$@" </dev/null
}

# disk FILE OPTIONS - a disk for QEMU, one argument a line.
disk() {
	printf '%s\n' -drive "if=none,id=${1##*.},file=$1,format=raw$2" -device "virtio-blk-pci,drive=${1##*.}"
}

run_freeze() {
	boot ''
}

# The second boot finds the system on the disk and becomes it.
run_hibernation() {
	local disks
	rm -f "$OUT/$NAME.swap"
	truncate -s 2G "$OUT/$NAME.swap"
	mapfile -t disks < <(disk "$OUT/$NAME.swap" ,cache=unsafe)
	boot 'no_console_suspend' "${disks[@]}" || return
	! grep -q '^# Totals:' "$OUTPUT" || return 0
	boot 'no_console_suspend power_resume' "${disks[@]}"
}

run_hibernation_bbm() {
	run_hibernation
}

# with_kernel WORDS - a machine that has its kernel and initial files on disks, too.
with_kernel() {
	local disks
	mapfile -t disks < <(
		ln -sf "$BUILD/kit/arm64/vmlinuz" "$OUT/$NAME.vmlinuz"
		disk "$OUT/$NAME.vmlinuz" ,readonly=on
		disk "$OUT/$NAME.initrd" ,readonly=on
	)
	boot "$1" "${disks[@]}"
}

run_kexec() {
	with_kernel ''
}

run_crash() {
	with_kernel 'crashkernel=384M'
}

# --- the verdict -------------------------------------------------------------

# expect NAME COMMAND... - a case of the host.
expect() {
	local name=$1
	shift
	if "$@"; then
		echo "ok - $NAME: $name"
	else
		echo "not ok - $NAME: $name"
		failed=1
	fi
}

# is_complete - the guest's test came to its end, once.
is_complete() {
	[ "$(grep -c '^# Totals:' "$OUTPUT")" -eq 1 ]
}

# no_complaint - the kernel complained of nothing, but for the crash that was asked for.
no_complaint() {
	! sed '/sysrq: Trigger a crash/,/Starting crashdump kernel/d' "$CONSOLE" | grep -aE "$COMPLAINTS"
}

# run_case CASE SIDE
run_case() {
	local case=$1 side=$2 status=0
	NAME=$case.$side CONSOLE=$OUT/$case.$side.console OUTPUT=$OUT/$case.$side.output
	: >"$CONSOLE"
	: >"$OUTPUT"
	say "$NAME"
	"$ROOT/scripts/vm" --make-initrd "$OUT/$NAME.initrd" --overlay "$FILES" -- \
		"cp /overlay/power.sh /kselftest/bpf_pack/ && sh /kselftest/bpf_pack/power.sh $case $side"
	"run_$case" 2>"$OUT/$NAME.stderr" || status=$?
	tr -d '\r' <"$OUTPUT"
	! grep -q '^not ok' "$OUTPUT" || failed=1
	expect "QEMU ends by itself" test "$status" -eq 0
	expect "the guest's test came to its end" is_complete
	expect "no complaint on the console" no_complaint
	rm -f "$OUT/$NAME.initrd" "$OUT/$NAME.swap" "$OUT/$NAME.vmlinuz"
}

main() {
	local case side wanted
	case ${1:-} in -h | --help)
		usage
		exit 0
		;;
	esac
	enter_toolchain "$0" "$@"
	mkdir -p "$OUT"
	single_instance power
	"$ROOT/scripts/kit" arm64
	make_files
	# shellcheck disable=SC2086 # a list of words
	[ $# -gt 0 ] || set -- $CASES
	for wanted in "$@"; do
		case=${wanted%%.*}
		case " $CASES " in *" $case "*) ;; *) usage >&2; die "no such case: $case" ;; esac
		for side in stock module; do
			case $wanted in
			"$case" | "$case.$side") run_case "$case" "$side" ;;
			esac
		done
	done
	[ "$failed" -eq 0 ]
}

main "$@"
