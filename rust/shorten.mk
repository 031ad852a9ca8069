# SPDX-License-Identifier: GPL-2.0
#
# Names of Rust symbols have no bound. Tools that read /proc/kallsyms in lines of 255
# bytes would stop at a longer one and see nothing that follows; no line of ours may
# be longer than the longest that stock kernels have, which is 207.
quiet_cmd_shorten = SHORTEN $@
      cmd_shorten = \
	$(NM) $< | $(AWK) '$$(NF-1) != "U" && length($$NF) > 160 { print $$NF, substr($$NF, 1, 150) "_" NR }' >$@.names && \
	$(OBJCOPY) --redefine-syms=$@.names $< $@
