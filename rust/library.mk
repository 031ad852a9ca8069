# SPDX-License-Identifier: GPL-2.0
#
# Builds a crate as the kernel builds its libraries (rust/Makefile,
# cmd_rustc_library). The empty list of allowed features makes sure that the crate
# is stable Rust.
quiet_cmd_rustc_lib = $(RUSTC_OR_CLIPPY_QUIET) L $@
      cmd_rustc_lib = \
	OBJTREE=$(abspath $(objtree)) $(RUSTC_OR_CLIPPY) $(rust_flags) \
	-Zallow-features= --crate-type rlib --crate-name $(basename $(notdir $@)) \
	-L$(objtree)/rust --sysroot=/dev/null -Zunstable-options --out-dir $(dir $@) \
	--emit=dep-info=$(depfile) --emit=obj=$@ \
	--emit=metadata=$(dir $@)lib$(basename $(notdir $@)).rmeta $<
