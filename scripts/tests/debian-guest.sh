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
# Those that run only if asked for by name.
MORE_STEPS=autopkgtest
# What autopkgtest needs in the system, and that lacks: a small ssh server, and what makes an
# index of packages.
TESTBED='apt-utils dropbear-bin libtomcrypt1 libtommath1'
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

Only if you name it:

  autopkgtest  on a new copy of the disk, autopkgtest installs the packages and runs
             debian/tests, by ssh

install takes a new copy of the disk, too, the others go on with that of the last run. Output
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

# nic STEP - QEMU's arguments for the network, which has nothing in reach.
nic() {
	case $1 in
	autopkgtest)
		printf '%s\n' -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$PORT-:22" \
			-device virtio-net-pci,netdev=net,romfile=
		;;
	*) printf '%s\n' -nic none ;;
	esac
}

# boot STEP - one boot, of the kernel and initramfs that are on the disk.
boot() {
	local step=$1 machine=() nic=() files=$OUT/boot file release
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
	mapfile -t nic < <(nic "$step")
	read -ra machine < <("$ROOT/scripts/vm" --show-machine --memory 1G)
	timeout --foreground --kill-after=5 "$TIMEOUT" "$QEMU" "${machine[@]}" \
		-display none -monitor none -no-reboot "${nic[@]}" \
		-kernel "$files/vmlinuz" -initrd "$files/initrd.img" \
		-append "console=ttyAMA0 root=/dev/vda rw panic=-1 log_buf_len=4M watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 systemd.default_timeout_start_sec=600 systemd.default_device_timeout_sec=600 systemd.getty_auto=no guest_step=$step $(words "$step")" \
		-drive "if=none,id=root,file=$OUT/disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=root \
		-drive "if=none,id=steps,file=$OUT/steps.img,format=raw,readonly=on" -device virtio-blk-pci,drive=steps \
		-serial "file:$OUT/$step.console" -serial "file:$OUT/$step.output" </dev/null
}

# free_port - a port of this machine that nobody listens on.
free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# in_guest COMMAND - by ssh.
in_guest() {
	ssh -q -i "$OUT/key" -p "$PORT" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o ConnectTimeout=60 root@127.0.0.1 "$@"
}

# judge - what autopkgtest's summary says of each test: "NAME PASS", "NAME SKIP REASON" or another
# verdict. The kernel of this system has a module, so that load has to pass.
judge() {
	local summary=$OUT/autopkgtest.run/summary name verdict rest
	[ -s "$summary" ] || return 0
	while read -r name verdict rest; do
		case $name-$verdict in
		blame:-* | badpkg:-*) echo "# $name $verdict $rest" | cut -c1-300 ;;
		*-PASS) echo "ok - autopkgtest: $name" ;;
		load-*) echo "not ok - autopkgtest: $name $verdict $rest" ;;
		*-SKIP) echo "ok - autopkgtest: $name # SKIP $rest" ;;
		*) echo "not ok - autopkgtest: $name $verdict $rest" ;;
		esac
	done <"$summary"
}

# with_autopkgtest - a boot, and autopkgtest meanwhile, of the debian/tests of this source.
with_autopkgtest() {
	local guest status=0 booted=0
	PORT=$(free_port)
	rm -rf "$OUT/autopkgtest.run" "$OUT/autopkgtest.source" && mkdir -p "$OUT/autopkgtest.source"
	tar -xf "$(echo "$BUILD"/packages/bpf-pack_*.tar.xz)" -C "$OUT/autopkgtest.source" --strip-components=1 --wildcards '*/debian'
	boot autopkgtest 2>"$OUT/autopkgtest.stderr" &
	guest=$!
	# shellcheck disable=SC2064 # this guest
	trap "pkill -P $guest" EXIT
	until grep -q '^# ssh' "$OUT/autopkgtest.output" 2>/dev/null; do
		kill -0 "$guest" 2>/dev/null || { trap - EXIT; wait "$guest"; return; }
		sleep 2
	done
	say "debian: autopkgtest runs"
	# Its own times are for machines with KVM.
	autopkgtest --timeout-factor=20 --output-dir="$OUT/autopkgtest.run" --no-built-binaries \
		"$BUILD"/packages/bpf-pack-*.deb "$OUT/autopkgtest.source//" \
		-- ssh --login root --hostname 127.0.0.1 --port "$PORT" --identity "$OUT/key" --timeout-ssh 600 \
		--capability isolation-machine >"$OUT/autopkgtest.log" 2>&1 || status=$?
	in_guest touch /run/autopkgtest-is-over || pkill -P "$guest"
	wait "$guest" || booted=$?
	trap - EXIT
	{
		# 2: at least one test was skipped.
		case $status in
		0 | 2) echo "ok - autopkgtest: it came to its end" ;;
		*)
			echo "not ok - autopkgtest: its exit status is $status"
			tail -n 40 "$OUT/autopkgtest.log" | sed 's/^/# /'
			;;
		esac
		judge
	} >>"$OUT/autopkgtest.output"
	return "$booted"
}

# run_step STEP
run_step() {
	local step=$1 status=0
	say "debian: $step"
	case $step in
	autopkgtest) with_autopkgtest || status=$? ;;
	*) boot "$step" 2>"$OUT/$step.stderr" || status=$? ;;
	esac
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
	rm -f "$OUT/key" "$OUT/key.pub"
	ssh-keygen -q -t ed25519 -N '' -f "$OUT/key"
	mkdir -p "$dir/autopkgtest"
	cp "$OUT/key.pub" "$OUT"/debs/*.deb "$dir/autopkgtest/"
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
		case $step in install | autopkgtest) cp --sparse=always "$BUILD/guest.img" "$OUT/disk" ;; esac
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
		case " $STEPS $MORE_STEPS " in *" $step "*) ;; *) usage >&2; die "no such step: $step" ;; esac
	done
	"$ROOT/scripts/deb" arm64 "$NEW" >/dev/null
	mkdir -p "$OUT"
	"$ROOT/scripts/kit" --packages "$NEW" >"$OUT/kernel"
	want="$RECIPE_VERSION $(cat "$KIT/version") $(cat "$ROOT"/tools/deb/{make-root,foreign.sh,guest/etc/systemd/system/*,guest/usr/local/sbin/*} | sha256sum)"
	if [ "$(cat "$BUILD/deb/guest-ready" 2>/dev/null)" != "$want" ]; then
		step "make a Debian system for arm64" "check that the package mirror is in reach, free 3 GB of disk" \
			"$ROOT/scripts/deb" --run-alone bash "$ROOT/tools/deb/make-root" "$BUILD/deb/guest.img" "$(cat "$KIT/release")"
		echo "$want" >"$BUILD/deb/guest-ready"
	fi
	# shellcheck disable=SC2016,SC2086 # expanded there; a list of words
	step "download what autopkgtest needs" "check that the package mirror is in reach" \
		"$ROOT/scripts/deb" --run sh -c 'mkdir -p "$0" && cd "$0" && rm -f ./*.deb && apt-get -q download "$@"' "$OUT/debs" ${TESTBED// /:arm64 }:arm64
	"$ROOT/scripts/deb" --run "$0" _inside "$@"
}

main "$@"
