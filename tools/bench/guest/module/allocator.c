// SPDX-License-Identifier: GPL-2.0
/*
 * Two ways to call an allocator: the kernel's entry points for its JIT, which bpf_pack
 * hooks when it is loaded, and bpf_pack's own functions.
 */
#include <linux/filter.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <asm/insn-def.h>

#include "bpf_pack.h"
#include "direct.h"

static struct {
	typeof(bpf_prog_pack_alloc) *alloc;
	typeof(bpf_prog_pack_free) *free;
	typeof(bpf_jit_binary_pack_finalize) *finalize;
	typeof(find_vm_area) *find_vm_area;
} stock;

static struct {
	typeof(bpf_pack_alloc) *alloc;
	typeof(bpf_pack_finalize) *finalize;
	typeof(bpf_pack_free) *free;
} ours;

static void fill_with_traps(void *area, unsigned int size)
{
	u32 *words = area;

	for (; size >= sizeof(*words); size -= sizeof(*words))
		*words++ = AARCH64_BREAK_FAULT;
}

static void *jit_alloc(u32 bytes)
{
	return stock.alloc(bytes, fill_with_traps, false);
}

static int jit_finalize(void *rox, void *rw, u32 used)
{
	return stock.finalize(rox, rw);
}

static void jit_free(void *rox, u32 bytes)
{
	stock.free(rox, bytes);
}

static void *abi_alloc(u32 bytes)
{
	return ours.alloc(bytes, 0);
}

static int abi_finalize(void *rox, void *rw, u32 used)
{
	int err = ours.finalize(rox, rw, used);

	/* As bpf_jit_binary_pack_finalize() does. */
	kvfree(rw);
	if (err)
		ours.free(rox, used);
	return err;
}

static void abi_free(void *rox, u32 bytes)
{
	ours.free(rox, bytes);
}

static const struct allocator by_jit = {
	.name = "jit",
	.alloc = jit_alloc,
	.finalize = jit_finalize,
	.free = jit_free,
};

static const struct allocator by_abi = {
	.name = "abi",
	.alloc = abi_alloc,
	.finalize = abi_finalize,
	.free = abi_free,
};

/* allocators_find - finds the functions that the kernel does not export; all or none. */
int allocators_find(void)
{
	struct kprobe probe = {
		.symbol_name = "kallsyms_lookup_name",
		.flags = KPROBE_FLAG_DISABLED,
	};
	unsigned long (*lookup)(const char *name);
	int err = register_kprobe(&probe);

	if (err)
		return err;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	stock.alloc = (void *)lookup("bpf_prog_pack_alloc");
	stock.free = (void *)lookup("bpf_prog_pack_free");
	stock.finalize = (void *)lookup("bpf_jit_binary_pack_finalize");
	stock.find_vm_area = (void *)lookup("find_vm_area");
	if (!stock.alloc || !stock.free || !stock.finalize || !stock.find_vm_area)
		return -ENOENT;
	return 0;
}

/* allocator_get - the allocator of that name; it stays until allocator_put(). */
const struct allocator *allocator_get(const char *name)
{
	if (!strcmp(name, by_jit.name))
		return &by_jit;
	if (strcmp(name, by_abi.name))
		return NULL;
	ours.alloc = symbol_get(bpf_pack_alloc);
	if (!ours.alloc)
		return NULL;
	/* One module has all three. */
	ours.finalize = symbol_get(bpf_pack_finalize);
	ours.free = symbol_get(bpf_pack_free);
	return &by_abi;
}

void allocator_put(const struct allocator *allocator)
{
	if (allocator != &by_abi)
		return;
	symbol_put(bpf_pack_free);
	symbol_put(bpf_pack_finalize);
	symbol_put(bpf_pack_alloc);
}

/* pack_of - finds the address of the pack that holds @rox. */
int pack_of(const void *rox, unsigned long *base)
{
	struct vm_struct *area = stock.find_vm_area(rox);

	if (!area)
		return -ENOENT;
	*base = (unsigned long)area->addr;
	return 0;
}
