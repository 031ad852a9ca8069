# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What scripts that boot guests under the TLB model share. Source it after scripts/lib.sh.

# The plugin, when build_model has built it.
export PLUGIN=$BUILD/tlb-model/release/libtlb_model.so

# build_model - builds the plugin and its guest programs.
build_model() {
	cargo build --quiet --release --target-dir "$BUILD/tlb-model" \
		--manifest-path "$ROOT/tools/tlb-model/Cargo.toml"
	make --silent -C "$ROOT/tools/tlb-model/guest" OUT="$BUILD/tlb-model/guest"
}

# locked COMMAND... - runs COMMAND while it holds the file BPF_PACK_HEAVY_LOCK, if that is set.
locked() {
	if [ -n "${BPF_PACK_HEAVY_LOCK:-}" ]; then
		flock "$BPF_PACK_HEAVY_LOCK" "$@"
	else
		"$@"
	fi
}

# bare_build DIR - makes a build directory for scripts/vm without modules and self-tests:
# runs that are compared need the same guest image, whatever is built at the same time.
bare_build() {
	local entry
	rm -rf "$1"
	mkdir -p "$1"
	for entry in toolchain kit guest cache src apt home log; do
		[ ! -e "$BUILD/$entry" ] || ln -s "$BUILD/$entry" "$1/$entry"
	done
}
