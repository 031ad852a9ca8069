#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What happens in each boot of the Debian guest: steps.sh STEP. KTAP output. The packages
# are beside it.
set -u

HERE=$(dirname "$0")
KEPT=/var/tmp/guest
RELEASE=$(uname -r)
STATUS=/sys/kernel/debug/bpf_pack/status
METRICS=/var/lib/prometheus/node-exporter
WANTS=/etc/systemd/system/sysinit.target.wants/bpf-pack.service
failed=0

# check TEXT COMMAND... - one case.
check() {
	text=$1
	shift
	if "$@" >"$KEPT/output" 2>&1; then
		echo "ok - $STEP: $text"
	else
		failed=1
		echo "not ok - $STEP: $text"
		sed 's/^/# /' "$KEPT/output"
	fi
}

# files FILE - all that is on the disk but what every boot writes, and what is noted of
# kernels that came and went; of what says how the system is set up, the content, too.
files() {
	{
		find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp \
			-o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path '/var/lib/dpkg/*-old' \
			-o -path /var/lib/apt/extended_states -o -path /var/lib/apt/lists/auxfiles -o -path /vmlinuz.old -o -path /initrd.img.old -o -path /lost+found -o -path /root \) -prune -o -print | sort
		find /etc /usr/lib/modules /var/lib/dpkg/diversions /var/lib/dpkg/triggers /var/lib/dpkg/statoverride \
			-type f ! -name machine-id ! -path '/usr/lib/modules/*/kernel/*' -exec sha256sum {} + | sort -k2
		lsinitramfs "/boot/initrd.img-$RELEASE" | sort | sed 's/^/initrd: /'
		find /var/lib/systemd -name '*bpf*'
	} >"$1"
}

mount_debugfs() { mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug; }
loaded() { [ -e /sys/module/bpf_pack ]; }
not_loaded() { ! loaded; }
property() { systemctl show --value --property "$2" "$1"; }
is() { [ "$1" = "$2" ] || { echo "$1, not $2"; false; }; }
system_is() { is "$(systemctl is-system-running --wait)" "$1" || { systemctl --failed; false; }; }
# has_script RELEASE... - whether the initramfs of each of these kernels loads the module.
has_script() {
	for kernel in "$@"; do
		lsinitramfs "/boot/initrd.img-$kernel" | grep -x scripts/init-bottom/bpf_pack || return 1
	done
}
# has_no_script RELEASE... - whether none of them does.
has_no_script() {
	for kernel in "$@"; do
		lsinitramfs "/boot/initrd.img-$kernel" >"$KEPT/initrd-files" || return 1
		! grep -x scripts/init-bottom/bpf_pack "$KEPT/initrd-files" || return 1
	done
}
package() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null; }
# The release of the kernel that is installed beside the first one.
new_release() { basename "$HERE"/kernel/linux-image-*.deb | sed 's/^linux-image-//; s/_.*//'; }
value() { sed -n "s/^$1: //p" "$STATUS"; }

# The images of all programs that the kernel knows, by address, and the packs.
images() { awk '$3 ~ /^bpf_prog_/ && $4 == "[bpf]" { print $1 }' /proc/kallsyms; }
outside() {
	images | while read -r address; do
		sed -n 's/^pack 0x\([0-9a-f]*\)-0x\([0-9a-f]*\):.*/\1 \2/p' "$STATUS" | (
			while read -r start end; do
				# Words of the same length compare as numbers do.
				[ "$(printf '%s\n' "$start" "$address" "$end" | sort | sed -n 2p)" != "$address" ] ||
					[ "$address" = "$end" ] || exit 0
			done
			echo "$address"
		)
	done
}
all_inside() { is "$(outside | wc -l)" 0; }
many() { [ "$1" -ge "$2" ] || { echo "$1, fewer than $2"; false; }; }
before_systemd() {
	dmesg | awk '/bpf_pack: / && !ours { ours = NR } /systemd\[1\]: systemd / && !init { init = NR }
		END { print "lines:", ours, init; exit !(ours && init && ours < init) }'
}
# systemd may say to the kernel's log that it skipped the service, with the word that made it do so.
no_word_of_it() { ! dmesg | grep -vE 'Kernel command line|skipped, unmet condition' | grep bpf_pack; }
before_sysctl() { property bpf-pack.service Before | tr ' ' '\n' | grep -x systemd-sysctl.service; }
healthy() { ! dmesg | grep -E 'WARNING:|BUG:|Oops|Call trace'; }

# dead_links - what the packages' documents and units name and is not there.
dead_links() {
	for document in /usr/share/doc/bpf-pack-*/*.md; do
		grep -oE '\]\([^):#]+\)' "$document" | sed 's/^](//; s/)$//' | while read -r link; do
			[ -e "${document%/*}/$link" ] || echo "$document: $link"
		done
	done
	property bpf-pack.service Documentation | tr ' ' '\n' | sed -n 's,^file://,,p' | while read -r document; do
		[ -e "$document" ] || echo "bpf-pack.service: $document"
	done
}

# metrics LOADED - the timer's service writes them, in a folder of node_exporter's, which is
# not installed here.
metrics() {
	check "the timer of the metrics runs" systemctl is-active bpfpack-metrics.timer
	mount_debugfs
	mkdir -p "$METRICS"
	check "its service writes them" systemctl start bpfpack-metrics.service
	check "they say whether the module is loaded" grep -x "bpf_pack_loaded $1" "$METRICS/bpfpack.prom"
	check "they have the limit" grep '^bpf_jit_limit_bytes [1-9]' "$METRICS/bpfpack.prom"
	[ "$1" -eq 0 ] || check "they have the charge" grep '^bpf_jit_charged_bytes [1-9]' "$METRICS/bpfpack.prom"
}

step_install() {
	# The first initramfs was made where no root file system was known.
	update-initramfs -u -k all >"$KEPT/output" 2>&1 || cat "$KEPT/output"
	files "$KEPT/before"
	check "the system is up before" system_is running
	check "the packages install" dpkg -i "$HERE"/*.deb
	check "the service is enabled" is "$(systemctl is-enabled bpf-pack.service)" enabled
	check "the module is where modprobe looks" is "$(modinfo -F filename bpf_pack)" "/lib/modules/$RELEASE/updates/bpf_pack.ko"
	check "the initramfs has the script" has_script "$RELEASE"
	check "links lead to files" is "$(dead_links)" ""
	check "the schemas of --json are there" test -e /usr/share/doc/bpf-pack-tools/schema/status.json
	check "nothing was loaded yet" not_loaded
}

# in_packs - the module was loaded in time, and has the programs.
in_packs() {
	check "the module is loaded" loaded
	check "it was loaded before systemd began" before_systemd
	check "the system is up" system_is running
	check "the service comes before sysctl.d, which may forbid modules" before_sysctl
	check "the service had nothing to do" is "$(property bpf-pack.service ConditionResult)" no
	mount_debugfs
	sed 's/^/# /' "$STATUS"
	echo "# programs in /proc/kallsyms: $(images | wc -l), images: $(value images)"
	check "systemd's programs are images of ours" many "$(value images)" 20
	check "programs in /proc/kallsyms are there" many "$(images | wc -l)" 1
	check "all of them are in packs" all_inside
	check "the books are right" sh -c 'echo check >/sys/kernel/debug/bpf_pack/control'
	check "no complaint" healthy
}

step_packs() {
	in_packs
	check "bpfpack status says so" bpfpack status --quiet
	metrics 1
	rm -r "${METRICS%/*}"
	check "the packages' own test passes" sh "$HERE/load"
}

# The kernel is locked down: the module is not signed.
step_refused() {
	check "the module was refused" not_loaded
	check "the kernel says why" sh -c 'dmesg | grep "Lockdown: modprobe: unsigned module loading is restricted"'
	check "the system is up, and names the service that failed" system_is degraded
	check "that is the only one" is "$(systemctl --failed --plain --no-legend | cut -d' ' -f1)" bpf-pack.service
	check "no complaint" healthy
}

# Another kernel comes, for which nobody has a module yet.
step_kernel() {
	check "the module is loaded after this reboot, too" loaded
	check "another kernel installs" dpkg -i "$HERE"/kernel/*.deb
	check "the package of this kernel's module stays" is "$(package "bpf-pack-modules-$RELEASE")" "install ok installed"
	check "the module of this kernel stays" modinfo -F filename bpf_pack
	check "the other kernel has none" sh -c "! modinfo -k '$(new_release)' bpf_pack"
	check "its initramfs has the script" has_script "$(new_release)"
}

step_new() {
	check "the other kernel runs" is "$RELEASE" "$(new_release)"
	check "the module is not loaded" not_loaded
	check "nobody tried" no_word_of_it
	check "the system is up" system_is running
	check "the service was skipped" is "$(property bpf-pack.service Result)" exec-condition
	bpfpack status >"$KEPT/status"
	check "bpfpack status ends with 2" is "$?" 2
	check "and says so" grep "not loaded" "$KEPT/status"
	bpfpack doctor >"$KEPT/doctor"
	check "bpfpack doctor says that there is none for this kernel" grep "no bpf_pack.ko is installed for $RELEASE" "$KEPT/doctor"
	sed 's/^/# /' "$KEPT/status" "$KEPT/doctor"
	metrics 0
	rm -r "${METRICS%/*}"
	check "its own package installs" dpkg -i "$HERE"/new/*.deb
	check "the module is where modprobe looks" is "$(modinfo -F filename bpf_pack)" "/lib/modules/$RELEASE/updates/bpf_pack.ko"
	check "bpfpack doctor finds it" sh -c "bpfpack doctor | grep 'bpf_pack.ko was built for a kernel of this release'"
	check "no complaint" healthy
}

step_new_packs() {
	check "the other kernel runs" is "$RELEASE" "$(new_release)"
	in_packs
}

step_back() {
	new=$(new_release)
	check "the first kernel runs" test "$RELEASE" != "$new"
	check "its module is loaded" loaded
	check "the tools can be removed" dpkg --remove bpf-pack-tools
	check "the initramfs of no kernel has the script" has_no_script "$RELEASE" "$new"
	check "they can be installed again" dpkg -i "$HERE"/bpf-pack-tools_*.deb
	check "the initramfs of both kernels has the script" has_script "$RELEASE" "$new"
	check "the service is enabled" is "$(systemctl is-enabled bpf-pack.service)" enabled
	check "the other kernel can be removed" apt-get -y -q purge "linux-image-$new" "linux-binary-$new" "linux-modules-$new" "linux-base-$new"
	check "the package of its module went with it" is "$(package "bpf-pack-modules-$new")" ""
	check "nothing of it is left" sh -c "! ls -d /usr/lib/modules/$new /boot/*-$new"
	check "the package of this kernel's module stays" is "$(package "bpf-pack-modules-$RELEASE")" "install ok installed"
}

step_disabled() {
	check "bpf_pack.disable: not loaded" not_loaded
	check "nobody tried" no_word_of_it
	check "the system is up" system_is running
	check "the service says so" is "$(property bpf-pack.service ConditionResult)" no
	check "it can be disabled" systemctl disable bpf-pack.service
}

step_remove() {
	check "the removed link: not loaded" not_loaded
	check "nobody tried" no_word_of_it
	check "the system is up" system_is running
	check "it can be enabled again" systemctl enable bpf-pack.service
	check "modprobe loads it all the same" modprobe bpf_pack
	metrics 1
	cp "/boot/initrd.img-$RELEASE" "$KEPT/initrd"
	check "the tools can be removed meanwhile" dpkg --remove bpf-pack-tools
	check "the metrics went with them" test ! -e "$METRICS/bpfpack.prom"
	rm -r "${METRICS%/*}"
	check "the initramfs has lost the script" has_no_script "$RELEASE"
	check "the options stay" test -e /etc/modprobe.d/bpf_pack.conf
	check "the link of the service stays" test -h "$WANTS"
	check "the module stays on the disk" modinfo -F filename bpf_pack
	# As on a machine where the initramfs could not be updated.
	mv "$KEPT/initrd" "/boot/initrd.img-$RELEASE"
}

step_purge() {
	check "the removed package: not loaded" not_loaded
	check "nobody tried" no_word_of_it
	check "the system is up" system_is running
	check "the initramfs has the script, all the same" has_script "$RELEASE"
	check "the package of the module can be removed" dpkg --remove "bpf-pack-modules-$RELEASE"
	check "the module has gone from the disk" sh -c '! modinfo bpf_pack'
	check "the packages can be purged" dpkg --purge bpf-pack-tools "bpf-pack-modules-$RELEASE"
	check "the initramfs has lost the script" has_no_script "$RELEASE"
}

step_gone() {
	check "not loaded" not_loaded
	check "nobody tried" no_word_of_it
	check "the system is up" system_is running
	files "$KEPT/after"
	check "the disk is as it was before" diff "$KEPT/before" "$KEPT/after"
}

# autopkgtest runs on the host and installs the packages itself.
step_autopkgtest() {
	check "what autopkgtest needs here installs" dpkg -i "$HERE"/autopkgtest/*.deb
	install -D -m 600 "$HERE/autopkgtest/key.pub" /root/.ssh/authorized_keys
	printf '%s\n' '[Match]' 'Type=ether' '[Network]' 'Address=10.0.2.15/24' >/etc/systemd/network/guest.network
	check "the network is up" systemctl restart systemd-networkd
	# The archive is not in reach.
	rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
	mkdir -p /etc/dropbear
	check "it listens" dropbear -R -s -p 22
	echo "# ssh"
	until [ -e /run/autopkgtest-is-over ]; do
		sleep 1
	done
	check "the module is loaded" loaded
	check "no complaint" healthy
}

STEP=$1
mkdir -p "$KEPT"
"step_$STEP"
echo "# end of $STEP"
[ "$failed" -eq 0 ]
