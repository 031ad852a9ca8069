#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The Debian packages in a Debian system: installed, booted, refused, with another kernel,
# turned off, removed.
# KTAP output. tools/deb/steps.sh has what happens in each boot.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

RECIPE_VERSION=1
STEPS='install packs refused kernel new new_packs back disabled remove purge gone'
# The kernel that is installed beside the first one: another release.
NEW=cloud-arm64
# Seconds for a boot. It needs a fifth of that, but the host may be busy; "back" makes four
# initramfs images.
TIMEOUT=${BPF_PACK_DEBIAN_TIMEOUT:-1800}
QEMU=${BPF_PACK_QEMU:-qemu-system-aarch64}

failed=0

usage() {
	cat <<USAGE
Usage: scripts/tests/debian-guest.sh [STEP]...

Makes a Debian system for arm64 (systemd, initramfs-tools, the stock kernel) on a disk
image, once, and boots it in QEMU for each STEP (default: all, in this order):

  install    installs bpf-pack-modules-RELEASE and bpf-pack-tools
  packs      the module was loaded before systemd, whose programs are in packs; metrics
  refused    the kernel is locked down and refuses the module: boot goes on
  kernel     another kernel is installed; the module of the first one stays
  new        the other kernel has no module: boot goes on, and nobody tries; then its
             bpf-pack-modules-RELEASE is installed
  new_packs  as packs, with that
  back       the first kernel, with its module; the tools go and come, in the initramfs of
             both kernels; the other one is removed, and its module goes with it
  disabled   bpf_pack.disable on the command line; the service is disabled
  remove     it was not loaded; the tools are removed, not purged
  purge      it was not loaded, by an old initramfs either; the packages are purged
  gone       the disk is as it was before

install takes a new copy of the disk, the others go on with that of the last run. Output
and consoles are kept in build/deb/guest. A boot takes one to two minutes without KVM on an idle machine.
USAGE
}

# words STEP - more words for the kernel's command line.
words() {
	case $1 in
	refused) echo lockdown=integrity ;;
	disabled) echo bpf_pack.disable ;;
	esac
}

# release_of STEP - the kernel that it boots.
release_of() {
	case $1 in
	new*) echo "$NEW_RELEASE" ;;
	*) echo "$RELEASE" ;;
	esac
}

# boot STEP - one boot, of the kernel and initramfs that are on the disk.
boot() {
	local step=$1 machine=() files=$OUT/boot file release
	release=$(release_of "$step")
	rm -rf "$files" && mkdir -p "$files"
	# It may have been switched off.
	e2fsck -p "$OUT/disk" >/dev/null || [ $? -le 1 ]
	for file in vmlinuz initrd.img; do
		debugfs -R "dump /boot/$file-$release $files/$file" "$OUT/disk" 2>/dev/null
		[ -s "$files/$file" ] || { echo "no $file-$release on the disk" >&2; return 1; }
	done
	: >"$OUT/$step.console"
	: >"$OUT/$step.output"
	read -ra machine < <("$ROOT/scripts/vm" --show-machine --memory 1G)
	timeout --foreground --kill-after=5 "$TIMEOUT" "$QEMU" "${machine[@]}" \
		-display none -monitor none -no-reboot -nic none \
		-kernel "$files/vmlinuz" -initrd "$files/initrd.img" \
		-append "console=ttyAMA0 root=/dev/vda rw panic=-1 log_buf_len=4M watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 systemd.default_timeout_start_sec=600 systemd.default_device_timeout_sec=600 systemd.getty_auto=no guest_step=$step $(words "$step")" \
		-drive "if=none,id=root,file=$OUT/disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=root \
		-drive "if=none,id=steps,file=$OUT/steps.img,format=raw,readonly=on" -device virtio-blk-pci,drive=steps \
		-serial "file:$OUT/$step.console" -serial "file:$OUT/$step.output" </dev/null
}

# run_step STEP
run_step() {
	local step=$1 status=0
	say "debian: $step"
	boot "$step" 2>"$OUT/$step.stderr" || status=$?
	tr -d '\r' <"$OUT/$step.output"
	! grep -q '^not ok' "$OUT/$step.output" || failed=1
	if [ "$status" -eq 0 ] && grep -q "^# end of $step" "$OUT/$step.output"; then
		echo "ok - $step: the guest came to its end"
	else
		echo "not ok - $step: the guest came to its end"
		echo "# status $status, console $OUT/$step.console"
		tail -n 20 "$OUT/$step.console" | tr -d '\r' | sed 's/^/# /'
		failed=1
		return 1
	fi
}

# make_steps - the disk with the packages and the script.
make_steps() {
	local dir=$OUT/steps
	rm -rf "$dir" "$OUT/steps.img" && mkdir -p "$dir/kernel" "$dir/new"
	cp "$ROOT/tools/deb/steps.sh" "$ROOT/debian/tests/load" "$dir/"
	cp "$BUILD"/packages/bpf-pack-modules-"$RELEASE"_*.deb "$BUILD"/packages/bpf-pack-tools_*.deb "$dir/"
	cp "$BUILD"/packages/bpf-pack-modules-"$NEW_RELEASE"_*.deb "$dir/new/"
	xargs -d '\n' cp -t "$dir/kernel/" <"$OUT/kernel"
	truncate -s 128M "$OUT/steps.img"
	mkfs.ext4 -q -O ^has_journal -d "$dir" "$OUT/steps.img"
}

# inside STEP... - in the packages' toolchain, with build/deb as the build folder.
inside() {
	local step
	make_steps
	for step in "$@"; do
		[ "$step" != install ] || cp --sparse=always "$BUILD/guest.img" "$OUT/disk"
		run_step "$step" || break
	done
	[ "$failed" -eq 0 ]
}

main() {
	local step want
	OUT=$BUILD/deb/guest KIT=$BUILD/kit/arm64
	case ${1:-} in
	-h | --help)
		usage
		return
		;;
	_inside)
		OUT=$BUILD/guest KIT=${BUILD%/*}/kit/arm64
		RELEASE=$(cat "$KIT/release") NEW_RELEASE=$(cat "${BUILD%/*}/kit/$NEW/release")
		shift
		inside "$@"
		return
		;;
	esac
	# shellcheck disable=SC2086 # a list of words
	[ $# -gt 0 ] || set -- $STEPS
	for step in "$@"; do
		case " $STEPS " in *" $step "*) ;; *) usage >&2; die "no such step: $step" ;; esac
	done
	"$ROOT/scripts/deb" arm64 "$NEW" >/dev/null
	mkdir -p "$OUT"
	"$ROOT/scripts/kit" --packages "$NEW" >"$OUT/kernel"
	want="$RECIPE_VERSION $(cat "$KIT/version") $(cat "$ROOT"/tools/deb/{make-root,guest/etc/systemd/system/*,guest/usr/local/sbin/*} | sha256sum)"
	if [ "$(cat "$BUILD/deb/guest-ready" 2>/dev/null)" != "$want" ]; then
		step "make a Debian system for arm64" "check that the package mirror is in reach, free 3 GB of disk" \
			"$ROOT/scripts/deb" --run-alone bash "$ROOT/tools/deb/make-root" "$BUILD/deb/guest.img" "$(cat "$KIT/release")"
		echo "$want" >"$BUILD/deb/guest-ready"
	fi
	"$ROOT/scripts/deb" --run "$0" _inside "$@"
}

main "$@"
