# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Makes a build directory for Rust modules, with the metadata that distributions' header
# packages lack: from the kernel's source with the running kernel's own configuration and
# compilers, so that the crate hashes in symbol names equal those that the kernel exports.
# scripts/kit and the DKMS package share it. Source it after `set -euo pipefail`.
#
# An OBJ is such a directory. The file make-args beside it has the arguments that choose the
# compilers for make, one a line.

# The oldest kernel that the module is built and tested for, and the options that it needs, the
# latter unless the JIT calls it (Kconfig).
OLDEST_KERNEL=7.2
NEEDED_OPTIONS='BPF_JIT'
REDIRECTION_OPTIONS='KPROBES KALLSYMS_ALL DYNAMIC_FTRACE_WITH_ARGS TASKS_RCU TASKS_RUDE_RCU'

# unfit CONFIG RELEASE - says why the module cannot serve the kernel RELEASE, whose options are in
# the file CONFIG. Fails, and says nothing, if it can as far as they tell.
unfit() {
	local config=$1 release=$2 options=$NEEDED_OPTIONS option
	grep -q '^CONFIG_BPF_PROG_PACK_OPS=y' "$config" || options="$options $REDIRECTION_OPTIONS"
	if ! printf '%s\n' "$OLDEST_KERNEL" "$release" | sort --check=quiet --version-sort; then
		echo "it is $release, and the module is written for $OLDEST_KERNEL and later"
		return
	fi
	for option in $options; do
		if ! grep -q "^CONFIG_$option=y" "$config"; then
			echo "it was built without CONFIG_$option, which the module needs"
			return
		fi
	done
	return 1
}

# kernel_make SOURCE OBJ ARGUMENT... - make with OBJ's compilers.
kernel_make() {
	local source=$1 obj=$2 compilers
	shift 2
	mapfile -t compilers <"${obj%/*}/make-args"
	make -C "$source" O="$obj" "${compilers[@]}" -j"$(nproc)" "$@"
}

# configure SOURCE OBJ CONFIG RELEASE - the kernel's configuration, changed only where it
# names keys that are not ours and to get the same release string.
configure() {
	local source=$1 obj=$2 config=$3 release=$4
	mkdir -p "$obj"
	cp "$config" "$obj/.config"
	local base
	base=$(kernel_make "$source" "$obj" -s kernelversion | tail -n 1)
	"$source/scripts/config" --file "$obj/.config" \
		--set-str LOCALVERSION "${release#"$base"}" --disable LOCALVERSION_AUTO \
		--set-str SYSTEM_TRUSTED_KEYS '' --set-str MODULE_SIG_KEY '' \
		--disable MODULE_SIG_ALL
	kernel_make "$source" "$obj" olddefconfig
	local got
	got=$(kernel_make "$source" "$obj" -s kernelrelease | tail -n 1)
	[ "$got" = "$release" ] || {
		echo "the source makes release $got, the kernel is $release"
		return 1
	}
	grep -q '^CONFIG_RUST=y' "$obj/.config" || {
		echo "CONFIG_RUST went off: rustc or bindgen do not fit this source"
		return 1
	}
}

# make_metadata SOURCE OBJ CONFIG SYMVERS RELEASE - the build directory for modules of the
# kernel RELEASE, whose Module.symvers is SYMVERS. Errors end it where `set -e` holds.
make_metadata() {
	local source=$1 obj=$2 config=$3 symvers=$4 release=$5
	configure "$source" "$obj" "$config" "$release"
	kernel_make "$source" "$obj" modules_prepare
	cp "$symvers" "$obj/Module.symvers"
}
