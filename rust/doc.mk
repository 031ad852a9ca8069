# SPDX-License-Identifier: GPL-2.0
#
# Documents the module with rustdoc, which gets the compiler's own flags
# (scripts/Makefile.build, rust_common_cmd). A warning is an error.
quiet_cmd_rustdoc_module = RUSTDOC $@
      cmd_rustdoc_module = \
	$(filter-out --emit=% --out-dir $(dir $@),$(patsubst $(RUSTC_OR_CLIPPY),$(RUSTDOC),$(rust_common_cmd))) \
	--document-private-items -Dwarnings --output $@ $<; touch $@
