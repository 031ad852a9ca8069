# SPDX-License-Identifier: GPL-2.0
#
# Names of Rust symbols can have any length. Tools that read /proc/kallsyms in lines of
# 255 bytes would stop at a longer line and miss all that follow. So no line of ours may
# be longer than the longest line of stock kernels, which has 207 bytes.
quiet_cmd_shorten = SHORTEN $@
      cmd_shorten = \
	$(NM) $< | $(AWK) '$$(NF-1) != "U" && length($$NF) > 160 { print $$NF, substr($$NF, 1, 150) "_" NR }' >$@.names && \
	$(OBJCOPY) --redefine-syms=$@.names $< $@
