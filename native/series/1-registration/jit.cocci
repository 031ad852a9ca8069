// SPDX-License-Identifier: GPL-2.0
// file: arch/arm64/net/bpf_jit_comp.c

@ header @
@@
 #include <linux/bpf.h>
+#include <linux/bpf_prog_pack.h>

@ copy @
identifier dst, src, len;
@@
 void *bpf_arch_text_copy(void *dst, void *src, size_t len)
 {
+	int err = bpf_prog_pack_try_copy(dst, src, len);
+
+	if (err != -ENOENT)
+		return err ? ERR_PTR(err) : dst;
+
 	...
 }
