// SPDX-License-Identifier: GPL-2.0
// file: arch/arm64/kernel/patching.c

@ poke @
typedef text_poke_f, uintptr_t;
identifier func, addr, src, len, flags, patched, size, waddr, ptr;
symbol patch_lock, FIX_TEXT_POKE0;
@@
 static void *__text_poke(text_poke_f func, void *addr, void *src, size_t len)
 {
 	unsigned long flags;
 	size_t patched = 0;
 	size_t size;
 	void *waddr;
 	void *ptr;
+	int err = 0;
+
-	raw_spin_lock_irqsave(&patch_lock, flags);
-
-	while (patched < len) {
+	/* Interrupts are off for one page at a time. */
+	while (patched < len && !err) {
 		ptr = addr + patched;
 		size = min(PAGE_SIZE - offset_in_page(ptr), len - patched);

+		raw_spin_lock_irqsave(&patch_lock, flags);
 		waddr = patch_map(ptr, FIX_TEXT_POKE0);
-		func(waddr, src, patched, size);
+		err = func(waddr, src, patched, size);
 		patch_unmap(FIX_TEXT_POKE0);
+		raw_spin_unlock_irqrestore(&patch_lock, flags);

 		patched += size;
 	}
-	raw_spin_unlock_irqrestore(&patch_lock, flags);

-	flush_icache_range((uintptr_t)addr, (uintptr_t)addr + len);
+	caches_clean_inval_pou((uintptr_t)addr, (uintptr_t)addr + len);

+	if (err)
+		return NULL;
 	return addr;
 }

@ memcpy @
identifier dst, src, patched, len;
@@
-static void text_poke_memcpy(void *dst, void *src, size_t patched, size_t len)
+static int text_poke_memcpy(void *dst, void *src, size_t patched, size_t len)
 {
-	copy_to_kernel_nofault(dst, src + patched, len);
+	return copy_from_kernel_nofault(dst, src + patched, len);
 }

@ memset @
typedef u32, uintptr_t;
identifier dst, src, patched, len, c;
@@
-static void text_poke_memset(void *dst, void *src, size_t patched, size_t len)
+static int text_poke_memset(void *dst, void *src, size_t patched, size_t len)
 {
 	u32 c = *(u32 *)src;

 	memset32(dst, c, len / 4);
+	return 0;
 }
+/**
+ * aarch64_insn_sync - have every CPU execute an ISB
+ *
+ * Afterwards no CPU executes instructions that it fetched before. One call serves all
+ * text that was written before, with the functions whose names end in _nosync. Waits;
+ * interrupts must be on.
+ */
+void aarch64_insn_sync(void)
+{
+	on_each_cpu(synchronise_context, NULL, 1);
+}
+EXPORT_SYMBOL_GPL(aarch64_insn_sync);
+
+/**
+ * aarch64_insn_copy_nosync - aarch64_insn_copy() without synchronising CPUs
+ * @dst: address to modify
+ * @src: source of the copy
+ * @len: length to copy
+ *
+ * Maintains the caches. Nobody may execute there before aarch64_insn_sync().
+ *
+ * Return: @dst, or NULL if it is misaligned or @src cannot be read. A part may be
+ * written in the second case.
+ */
+void *aarch64_insn_copy_nosync(void *dst, void *src, size_t len)
+{
+	/* A64 instructions must be word aligned */
+	if ((uintptr_t)dst & 0x3)
+		return NULL;
+
+	return __text_poke(text_poke_memcpy, dst, src, len);
+}
+EXPORT_SYMBOL_GPL(aarch64_insn_copy_nosync);
+
+/**
+ * aarch64_insn_set_nosync - aarch64_insn_set() without synchronising CPUs
+ * @dst: address to modify
+ * @insn: value to set
+ * @len: length of memory region.
+ *
+ * Maintains the caches. Nobody may execute there before aarch64_insn_sync().
+ *
+ * Return: @dst, or NULL if it is misaligned.
+ */
+void *aarch64_insn_set_nosync(void *dst, u32 insn, size_t len)
+{
+	if ((uintptr_t)dst & 0x3)
+		return NULL;
+
+	return __text_poke(text_poke_memset, dst, &insn, len);
+}
+EXPORT_SYMBOL_GPL(aarch64_insn_set_nosync);

@ copy @
identifier dst, src, len;
@@
 aarch64_insn_copy(void *dst, void *src, size_t len)
 {
 	...
-	return __text_poke(text_poke_memcpy, dst, src, len);
+	dst = __text_poke(text_poke_memcpy, dst, src, len);
+	/* After an error, too: a part may be written. */
+	aarch64_insn_sync();
+	return dst;
 }

@ set @
typedef u32;
identifier dst, insn, len;
@@
 aarch64_insn_set(void *dst, u32 insn, size_t len)
 {
 	...
-	return __text_poke(text_poke_memset, dst, &insn, len);
+	dst = __text_poke(text_poke_memset, dst, &insn, len);
+	aarch64_insn_sync();
+	return dst;
 }

@ synchronise @
identifier fixmap;
@@
 static void patch_unmap(int fixmap)
 {
 	...
 }
+
+static void synchronise_context(void *unused)
+{
+	isb();
+}
