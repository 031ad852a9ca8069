#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# On a machine with memory nodes a pack is on the node of the CPU that needs it, if that has a
# block; a program goes to a pack of its node before others; and a pack has 2 MiB, whatever the
# number of nodes, as room on another node is used before a pack is made.
#
# scripts/test has a suite with a machine of two nodes (arm64_numa).
set -eu
# shellcheck source=tools/testing/selftests/bpf_pack/functions.sh
. "$(dirname "$0")/functions.sh"

NODES=/sys/devices/system/node
MEMORY=/sys/devices/system/memory

start_test numa
need_tool hold_progs
need_module bpf_pack bpf_pack_keeper bpf_pack_ptwalk

# full_nodes - the nodes that have CPUs and memory.
full_nodes() {
	for node in "$NODES"/node[0-9]*; do
		if [ -n "$(cat "$node/cpulist" 2>/dev/null)" ] && ls -d "$node"/memory[0-9]* >/dev/null 2>&1; then
			echo "${node#"$NODES"/node}"
		fi
	done
}

# go_to NODE - this shell, and so all that it runs, is on the CPUs of a node from here on.
go_to() {
	taskset -pc "$(cat "$NODES/node$1/cpulist")" $$
}

# node_of ADDRESS - the node of the memory at an executable address.
node_of() {
	echo "0x${1#0x}" >"$WALK/walk" || return
	page=$(sed -n 's/.* pa=\(0x[0-9a-f]*\) .*/\1/p' "$WALK/walk")
	block=$((page / 0x$(cat "$MEMORY/block_size_bytes")))
	for node in "$MEMORY/memory$block"/node[0-9]*; do
		echo "${node##*/node}"
	done
}

# is_on NODE ADDRESS
is_on() {
	found=$(node_of "$2")
	echo "node: $found, wanted: $1"
	[ "$found" = "$1" ]
}

first_pack() {
	packs | awk 'NR == 1 { print $1 }'
}

# new_pack - the pack that was not the first one.
new_pack() {
	packs | awk -v first="$FIRST" '$1 != first { print $1 }'
}

# leaf_of ADDRESS - how it is mapped.
leaf_of() {
	echo "0x${1#0x}" >"$WALK/walk" && sed -n 's/.* leaf="\([^"]*\)".*/\1/p' "$WALK/walk"
}

# load_on NODE LABEL - a program that a task on that node loads.
load_on() {
	go_to "$1" && hold_start "$2"
}

# is_at NODE LABEL - its image is in memory of the node.
is_at() {
	is_on "$1" "$(held_images "$2" | awk 'NR == 1 { print $1 }')"
}

# start_on NODE - insmod, by a task on that node.
start_on() {
	# shellcheck disable=SC2119 # no parameters
	go_to "$1" && load_pack
}

# each_goes_home - programs of the nodes by turns are each on their own.
each_goes_home() {
	for node in "$OTHER" "$ONE" "$OTHER" "$ONE"; do
		load_on "$node" home && is_at "$node" home && hold_stop "$HOLDER" || return
	done
}

# free_blocks NODE - the number of free blocks of 2 MiB, where pages have 4 KiB.
free_blocks() {
	awk -v node="$1," '$2 == node { sum += $14 + 2 * $15 } END { print sum + 0 }' /proc/buddyinfo
}

# huge_pages NODE - the file with the number of its huge pages.
huge_pages() {
	echo "$NODES/node$1/hugepages/hugepages-2048kB/nr_hugepages"
}

# take_all_blocks NODE - huge pages have all blocks of a node that the kernel gives away. It keeps a
# few for itself.
take_all_blocks() {
	taken=-1
	while [ "$taken" -lt "$(cat "$(huge_pages "$1")")" ]; do
		taken=$(cat "$(huge_pages "$1")")
		echo "huge pages: $taken, free blocks: $(free_blocks "$1")"
		echo $((taken + $(free_blocks "$1") + 1)) >"$(huge_pages "$1")"
	done
	[ "$taken" -gt 0 ]
}

# shellcheck disable=SC2046 # two words
set -- $(full_nodes)
[ $# -ge 2 ] || skip_all "less than two nodes have CPUs and memory"
ONE=$1 OTHER=$2
check "insmod of the page-table walker succeeds" load_walk

for node in "$ONE" "$OTHER"; do
	check "node $node: insmod succeeds" start_on "$node"
	check "node $node: the first pack is there" is_on "$node" "$(first_pack)"
	check "node $node: a program is loaded" load_on "$node" alone
	check "node $node: its image is there" is_at "$node" alone
	LEAF=$(leaf_of "$(first_pack)")
	check "node $node: the program ends, with right results" hold_stop "$HOLDER"
	check "node $node: rmmod succeeds" unload_pack
done

check "insmod succeeds" start_on "$ONE"
FIRST=$(first_pack)
check "a program of the other node is loaded" load_on "$OTHER" guest
check "it uses the room in the first pack" is_at "$ONE" guest
check "it made no second pack" packs_are 1
check "the program ends, with right results" hold_stop "$HOLDER"
check "images of the other node fill nearly all of the first pack" keep 29 65536
check "the module makes a second pack ahead of need" loop_until packs_are 2
check "the second pack is on the node that filled the first" is_on "$OTHER" "$(new_pack)"
check "the second pack has as large leaves" test "$(leaf_of "$(new_pack)")" = "$LEAF"
check "both have room: each program is on its node" each_goes_home
check "no program made a third pack" packs_are 2
check "the module counts its books and finds them right" control check
check "the images are freed" keep_no_more
check "rmmod succeeds" unload_pack

if [ "$(page_size)" -eq 4096 ] && [ -e "$(huge_pages "$OTHER")" ]; then
	check "huge pages take all blocks of the other node" take_all_blocks "$OTHER"
	check "a node without a block: insmod succeeds" start_on "$OTHER"
	check "a node without a block: the pack has as large leaves" test "$(leaf_of "$(first_pack)")" = "$LEAF"
	check "a node without a block: the pack is on the first node" is_on "$ONE" "$(first_pack)"
	check "a node without a block: a program is loaded" load_on "$OTHER" crowded
	check "a node without a block: its image is in that pack" is_at "$ONE" crowded
	check "a node without a block: the program ends, with right results" hold_stop "$HOLDER"
	check "a node without a block: rmmod succeeds" unload_pack
	echo 0 >"$(huge_pages "$OTHER")"
else
	skip_case "a node without a block" "no huge pages of 2 MiB"
fi
finish_test
