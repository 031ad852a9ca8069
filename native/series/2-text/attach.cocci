// SPDX-License-Identifier: GPL-2.0
// file: arch/arm64/net/bpf_jit_comp.c

@ far_target @
expression plt, value, page;
@@
-	if (set_memory_rw(page, 1))
+	if (aarch64_insn_write_literal_u64(&plt->target, value))
 		return -EFAULT;
-	WRITE_ONCE(plt->target, value);
-	set_memory_ro(page, 1);
