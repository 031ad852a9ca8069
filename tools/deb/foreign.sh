# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Lets programs for arm64 run under qemu-user. Source it as root of a user namespace of its own
# (scripts/deb --run-alone): which interpreter the kernel takes for a foreign program is noted
# for that namespace, so that nothing of it stays.

# register - the magic is that of an ELF header for arm64; F opens the interpreter now.
register() {
	mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
	printf '%s' ':arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64:OCF' \
		>/proc/sys/fs/binfmt_misc/register
}
