#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# memory.sh WHEN - prints the memory that is reserved for BPF images: packs and areas of
# the stock allocator, and the module's packs if the module is loaded. WHEN is a word for
# the line.
set -eu
status=/sys/kernel/debug/bpf_pack/status
page=$(awk '/^KernelPageSize:/ { print $2 * 1024; exit }' /proc/self/smaps)

# The last page of an area is a guard page without memory.
awk -v at="$1" -v page="$page" '/ bpf_prog_pack_alloc| bpf_jit_alloc_exec/ { bytes += $2 - page; areas++ }
	END { printf "{\"line\":\"memory\",\"at\":\"%s\",\"who\":\"stock\",\"packs\":%d,\"bytes\":%d}\n", at, areas, bytes }' /proc/vmallocinfo
[ ! -e "$status" ] ||
	awk -v at="$1" -F': ' '$1 == "packs" { packs = $2 } $1 == "pack_bytes" { bytes = $2 } $1 == "live_bytes" { live = $2 }
		$1 == "synchronisations" { syncs = $2 } $1 == "images_released" { released = $2 }
		END { printf "{\"line\":\"memory\",\"at\":\"%s\",\"who\":\"module\",\"packs\":%d,\"bytes\":%d,\"live_bytes\":%d,\"synchronisations\":%d,\"released\":%d}\n", at, packs, bytes, live, syncs, released }' "$status"
