#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# enter.sh SIDE SUITE: makes the suites' own system the root of this task and runs a suite
# in it. Not with chroot alone: a task in a chroot may not make user namespaces.
set -eu
new=/newroot
mkdir -p "$new"
mount -t tmpfs -o size=2500m,mode=755 tmpfs "$new"
tar -x -f /overlay/root.tar -C "$new"
rm /overlay/root.tar
cp /overlay/run.sh /overlay/todo "$new/suites/"
cp /bpf_pack.ko "$new/suites/"
for place in proc sys dev; do
	mount -o rbind "/$place" "$new/$place"
done
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
cd "$new"
mount -o move . /
exec chroot . /bin/bash /suites/run.sh "$@"
