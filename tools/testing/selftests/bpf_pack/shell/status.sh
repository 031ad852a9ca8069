# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What bpf_pack says of itself in its status file. read_status() alone knows the
# format of that file (in C: lib/status.c); everything else asks it.
# functions.sh sources this file.

STATUS=$DEBUGFS/bpf_pack/status
# shellcheck disable=SC2034 # some tests use it
IMAGES=$DEBUGFS/bpf_pack/images

# read_status - the status file as words: a line "KEY VALUE" for each counter, and for
# each pack a line "pack START END PLACE ALIAS IMAGES LIVE LEAF". START and END are
# 16 hexadecimal digits each, PLACE is near or far, ALIAS invalid or WRITABLE, LIVE
# the bytes of live images; LEAF may be several words.
read_status() {
	awk '
		/^[a-z_]+: / { sub(":", ""); print; next }
		/^pack 0x/ {
			split($0, part, ", ")
			leaf = part[1]
			sub(/^[^:]*: /, "", leaf)
			split($2, range, /[-:]/)
			sub(/^linear alias /, "", part[3])
			split(part[4], images, " ")
			split(part[5], live, " ")
			print "pack", substr(range[1], 3), substr(range[2], 3), part[2], part[3],
				images[1], live[2], leaf
		}' "$STATUS"
}

# status_value KEY - one counter; fails if there is none of this name.
status_value() {
	read_status | awk -v key="$1" '$1 == key { print $2; found = 1 } END { exit !found }'
}

# status_keys PREFIX - the lines of the counters whose names begin so.
status_keys() {
	read_status | awk -v prefix="$1" 'index($1, prefix) == 1'
}

# packs [PLACE] - "START END PLACE ALIAS IMAGES LIVE LEAF" of each pack, or of those
# near or far.
packs() {
	read_status | awk -v place="${1:-}" '
		$1 == "pack" && (place == "" || $4 == place) { sub(/^pack /, ""); print }'
}

# log_names_leaf - the log names the leaf and the place of the first pack as status does.
log_names_leaf() {
	log_says "the first pack: $(packs | awk 'NR == 1 { print $7, $8, $9 ", " $3 }')"
}

# count_packs PLACE - the number of packs near or far.
count_packs() {
	packs "$1" | wc -l
}

# packs_are N - true if there are N packs; prints the number.
packs_are() {
	echo "packs: $(status_value packs), wanted: $1"
	[ "$(status_value packs)" -eq "$1" ]
}

# pack_of ADDRESS [PLACE] - the START of the pack, near or far or any, that holds
# ADDRESS; fails if there is none.
pack_of() {
	[ -n "$1" ] || return
	wanted=$(number "$1")
	packs "${2:-}" | while read -r start end _; do
		if [ "$wanted" -ge "$(number "$start")" ] && [ "$wanted" -lt "$(number "$end")" ]; then
			echo "$start"
		fi
	done | grep .
}

# number ADDRESS - a kernel address without its top 16 bits, in decimal: every shell
# can compute with that.
number() {
	digits=${1#0x}
	echo $((0x${digits#ffff}))
}

# images_served - the images that packs got since insmod.
images_served() {
	status_value images_served
}

# images_are N - true if N images are in packs; prints the number.
images_are() {
	echo "images: $(status_value images), wanted: $1"
	[ "$(status_value images)" -eq "$1" ]
}

# list_images [STATE] - "ADDRESS BYTES STATE" of each image, or of those in a state.
list_images() {
	awk -v state="${1:-}" '$1 == "image" && (state == "" || $4 == state) { print $2, $3, $4 }' "$IMAGES"
}

# nothing_retired - true if no freed image waits for the CPUs.
nothing_retired() {
	for state in retiring retired syncing; do
		[ "$(status_value "${state}_images")" -eq 0 ] || return
	done
}
