# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# The modules, and programs and images that stay while a test does something else.
# functions.sh sources this file.

CONTROL=$DEBUGFS/bpf_pack/control
# shellcheck disable=SC2034 # some tests use it
WALK=$DEBUGFS/bpf_pack_ptwalk
# What rmmod says of a module that is in use; kmod and busybox have different words.
# shellcheck disable=SC2034
IN_USE='in use|busy|temporarily unavailable'

# module NAME - the path of NAME.ko, in MODULE_DIR if that is set.
module() {
	first_of "${MODULE_DIR:-}/$1.ko" "$DIR/$1.ko" "$BUILT/module/arm64/$1.ko"
}

# is_loaded MODULE
is_loaded() {
	grep -q "^$1 " /proc/modules
}

# is_builtin - the module is a part of the kernel.
is_builtin() {
	[ -e "$STATUS" ] && ! is_loaded bpf_pack
}

# is_native - the kernel's JIT calls the module, which redirects nothing.
is_native() {
	grep -q ' bpf_prog_pack_register$' /proc/kallsyms
}

# load_pack [PARAMETER=VALUE]... - a module that is built in serves from here on, and has the
# parameters of its boot.
load_pack() {
	if is_builtin; then
		[ $# -eq 0 ] && control serve
		return
	fi
	insmod "$(module bpf_pack)" "$@"
}

# load_test_pack [PARAMETER=VALUE]... - the build with parameters for tests, a module
# of the same name.
load_test_pack() {
	if is_builtin; then
		[ $# -eq 0 ] && control serve
		return
	fi
	insmod "$(module bpf_pack_test)" "$@"
}

# unload_pack - waits until the last image is gone, has the module count its books
# again, and removes it.
unload_pack() {
	loop_until images_are 0 && control check || return
	if is_builtin; then
		control drain
	else
		loop_until rmmod bpf_pack
	fi
}

# count_hooks - the number of functions that the module redirects on this kernel.
count_hooks() {
	if is_native; then
		echo 1
		return
	fi
	echo $((5 + $(grep -c ' bpf_fixup_call_args$' /proc/kallsyms)))
}

# load_walk - the module that shows the page tables.
load_walk() {
	is_loaded bpf_pack_ptwalk || insmod "$(module bpf_pack_ptwalk)"
}

# control WORD
control() {
	echo "$1" >"$CONTROL"
}

# --- programs and images that stay -------------------------------------------

# keep COUNT SIZE - images of SIZE bytes that stay until keep_no_more.
keep() {
	insmod "$(module bpf_pack_keeper)" count="$1" size="$2"
}

keep_no_more() {
	rmmod bpf_pack_keeper
}

# kept - the number of images that the last keep got.
kept() {
	log_since_mark | sed -n 's/.*bpf_pack_keeper: keeps \([0-9]*\) of .*/\1/p' | tail -n 1
}

# start_tool LABEL TOOL ARGUMENT... - runs a tool in the background and waits until it
# prints "ready". HOLDER is its process, HOLD_LOG the file of its output, which hold_stop
# finds by the process.
start_tool() {
	HOLD_LOG=$WORK/hold.$1 tool=$2
	shift 2
	# Here, not in the child: a "ready" of an earlier tool with this label must not count.
	: >"$HOLD_LOG"
	"$TOOLS/$tool" "$@" >>"$HOLD_LOG" 2>&1 &
	HOLDER=$!
	HOLDERS="$HOLDERS $HOLDER"
	ln "$HOLD_LOG" "$WORK/log.$HOLDER"
	loop_until grep -q '^ready' "$HOLD_LOG" || {
		cat "$HOLD_LOG"
		return 1
	}
}

# hold_start LABEL ARGUMENT... - hold_progs, which runs its programs until hold_stop.
hold_start() {
	label=$1
	shift
	start_tool "$label" hold_progs "$@"
}

# hold_stop PROCESS - ends a tool; fails, with its last words, if one of its programs ever
# gave a wrong result.
hold_stop() {
	kill -TERM "$1"
	wait "$1" || {
		tail -n 5 "$WORK/log.$1"
		return 1
	}
}

# held_images LABEL - "ADDRESS LENGTH" of each image that a hold_progs printed.
held_images() {
	sed -n 's/^image //p' "$WORK/hold.$1"
}
