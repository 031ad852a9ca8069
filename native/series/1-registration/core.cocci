// SPDX-License-Identifier: GPL-2.0
// file: kernel/bpf/core.c

@ header @
@@
 #include <linux/bpf.h>
+#include <linux/bpf_prog_pack.h>

@ ask_alloc @
identifier size, fill, classic;
symbol ptr, pack_mutex;
@@
 void *bpf_prog_pack_alloc(u32 size, bpf_jit_fill_hole_t fill, bool classic)
 {
 	...
+	ptr = bpf_prog_pack_ask(size, fill, classic);
+	if (ptr)
+		return ptr;
+
 	mutex_lock(&pack_mutex);
 	...
 }

@ try_free @
identifier ptr, size;
symbol pack_mutex;
@@
 void bpf_prog_pack_free(void *ptr, u32 size)
 {
 	...
+	if (bpf_prog_pack_try_free(ptr))
+		return;
+
 	mutex_lock(&pack_mutex);
 	...
 }

@ try_finalize @
identifier ro, rw, ptr;
@@
 int bpf_jit_binary_pack_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw)
 {
 	void *ptr;
+	int err = bpf_prog_pack_try_finalize(ro, rw);
 	...
+	if (err != -ENOENT) {
+		kvfree(rw);
+		return err;
+	}
+
 	ptr = bpf_arch_text_copy(ro, rw, rw->size);
 	...
 }

@ charged @
typedef u64;
identifier size;
@@
 void bpf_jit_uncharge_modmem(u32 size)
 {
 	...
 }
+#ifdef CONFIG_BPF_PROG_PACK_OPS
+/* The bytes that count against net.core.bpf_jit_limit. */
+u64 bpf_jit_charged_modmem(void)
+{
+	return atomic_long_read(&bpf_jit_current);
+}
+EXPORT_SYMBOL_GPL(bpf_jit_charged_modmem);
+#endif
