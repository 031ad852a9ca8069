#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# DKMS on a Debian system for arm64: native-steps.sh RELEASE. KTAP output. The package is beside
# it, and the module that was built is left there.
set -u

HERE=$(dirname "$0")
RELEASE=$1
MODULES=/lib/modules/$RELEASE
failed=0

# check TEXT COMMAND... - one case.
check() {
	local text=$1
	shift
	if "$@" >/tmp/output 2>&1; then
		echo "ok - native: $text"
	else
		failed=1
		echo "not ok - native: $text"
		tail -n 60 /tmp/output | sed 's/^/# /'
	fi
}

is() { [ "$1" = "$2" ] || { echo "$1, not $2"; false; }; }
built() { find "$MODULES/updates" -name 'bpf_pack.ko*' 2>/dev/null; }

# installs - what DKMS keeps of a build that failed says more.
installs() {
	dpkg -i "$HERE"/bpf-pack-dkms_*.deb || { cat /var/lib/dkms/bpf-pack/*/build/make.log; false; }
}

# refuses PATTERN COMMAND... - one sentence that matches, and the status that DKMS calls skipped.
refuses() {
	local pattern=$1 status=0
	shift
	"$@" >/tmp/said 2>&1 || status=$?
	cat /tmp/said
	is "$status" 77 && is "$(wc -l </tmp/said)" 1 && grep -qE "$pattern" /tmp/said
}

main() {
	local build headers=/tmp/headers
	dpkg --purge bpf-pack-dkms >/dev/null 2>&1
	check "this is the machine" is "$(uname -mr)" "$RELEASE aarch64"
	check "the package installs" installs
	check "what it depends on is there" is "$(dpkg-query -W -f '${db:Status-Abbrev}' bpf-pack-dkms)" "ii "
	check "DKMS built and installed the module" sh -c "dkms status -m bpf-pack -k '$RELEASE' | tee /dev/stderr | grep -q ', aarch64: installed'"
	dkms status | sed 's/^/# /'
	check "modprobe would load that one" is "$(modinfo -k "$RELEASE" -F filename bpf_pack)" "$(built)"
	check "it is for $RELEASE" is "$(modinfo -k "$RELEASE" -F vermagic bpf_pack | cut -d' ' -f1)" "$RELEASE"
	check "it is signed with DKMS's key" is "$(modinfo -k "$RELEASE" -F signer bpf_pack)" "DKMS module signing key"
	check "what was made for the build is gone" is "$(find /var/lib/dkms /usr/src/bpf-pack-* -name metadata)" ""
	check "the packages' own test passes" sh "$HERE/dkms"
	build=$(echo /usr/src/bpf-pack-*/tools/dkms/build)
	mkdir -p "$headers/rust"
	cp "$MODULES/build/.config" "$headers/"
	touch "$headers/Makefile" "$headers/rust/libkernel.rmeta"
	cp "$HERE/libmacros.so" "$headers/rust/"
	check "libmacros.so of another machine is refused" refuses 'libmacros.so is for another machine than rustc' "$build" check "$RELEASE" "$headers"
	cp /usr/lib/aarch64-linux-gnu/libc.so.6 "$headers/rust/libmacros.so"
	check "one of this machine is not" "$build" check "$RELEASE" "$headers"
	cp "$(built)" "$HERE/" && xz -qdf "$HERE"/bpf_pack.ko.xz 2>/dev/null
	check "the package can be removed" dpkg --purge bpf-pack-dkms
	check "the module went with it" is "$(built)" ""
	check "DKMS has nothing of it" is "$(dkms status -m bpf-pack)" ""
	[ "$failed" -eq 0 ]
}

main
