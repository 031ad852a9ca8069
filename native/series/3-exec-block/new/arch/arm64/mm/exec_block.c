// SPDX-License-Identifier: GPL-2.0
/*
 * Executable memory that is mapped by few leaves and that nobody can write to by any
 * address. Its owner writes with aarch64_insn_copy() and aarch64_insn_set().
 *
 * set_memory_*() refuses areas with large leaves, so the mapping is read-only and
 * executable from the start: with zeroes in it, which trap. Traps then go in through the
 * linear map, whose alias becomes invalid in runs that are as long as the memory is
 * contiguous: an aligned run of 2 MiB splits no block of the linear map.
 */
#include <linux/export.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/barrier.h>
#include <asm/cacheflush.h>
#include <asm/exec_block.h>
#include <asm/insn-def.h>
#include <asm/pgtable.h>
#include <asm/sections.h>

/* The number of pages from @first on that are neighbours in memory. */
static unsigned int run_of(const struct vm_struct *area, unsigned int first)
{
	unsigned int next = first + 1;

	while (next < area->nr_pages &&
	       page_to_pfn(area->pages[next]) == page_to_pfn(area->pages[next - 1]) + 1)
		next++;
	return next - first;
}

/* Makes the alias of the first @count pages valid or invalid; stops at an error. */
static int set_alias(const struct vm_struct *area, unsigned int count, bool valid,
		     unsigned int *done)
{
	unsigned int run;
	int err;

	for (*done = 0; *done < count; *done += run) {
		run = min(run_of(area, *done), count - *done);
		err = set_direct_map_valid_noflush(area->pages[*done], run, valid);
		if (err)
			return err;
	}
	return 0;
}

static void fill_with_traps(const struct vm_struct *area)
{
	for (unsigned int i = 0; i < area->nr_pages; i++)
		memset32(page_address(area->pages[i]), AARCH64_BREAK_FAULT, PAGE_SIZE / 4);
}

/**
 * arm64_exec_block_alloc - allocates executable memory that has no writable alias
 * @size: bytes; for large leaves a multiple of 2 MiB, or less
 * @start: the lowest address
 * @end: the end of the highest
 * @gfp: flags of the allocation
 * @large: whether it may have leaves that are larger than a page. A block of 2 MiB or
 *	more then has no smaller ones: without contiguous memory there is no block.
 * @caller: the function that /proc/vmallocinfo names
 *
 * All of it is AARCH64_BREAK_FAULT and fetched as such by all CPUs: nobody has executed
 * there. Its address is a multiple of 2 MiB. Sleeps.
 *
 * Return: the address, or NULL.
 */
void *arm64_exec_block_alloc(size_t size, unsigned long start, unsigned long end, gfp_t gfp,
			     bool large, const void *caller)
{
	pgprot_t prot = __pgprot(pgprot_val(PAGE_KERNEL_ROX) | PTE_MAYBE_GP);
	/*
	 * /proc/kcore reads areas through the linear map, but shows sparse ones as zeroes.
	 * Without a guard page, two blocks can be neighbours.
	 */
	unsigned long flags = VM_SPARSE | VM_NO_GUARD;
	const struct vm_struct *area;
	unsigned int done, undone;
	void *addr;

	/* The kernel rounds the size of an area with leaves of PMD_SIZE up to that. */
	if (large && (size < PMD_SIZE || IS_ALIGNED(size, PMD_SIZE)))
		flags |= VM_ALLOW_HUGE_VMAP;
	addr = __vmalloc_node_range_noprof(size, SZ_2M, start, end, gfp | __GFP_ZERO, prot, flags,
					   NUMA_NO_NODE, caller);
	if (!addr)
		return NULL;
	/* Unmapped before it is freed; and nothing in it could point to memory. */
	kmemleak_no_scan(addr);
	area = find_vm_area(addr);
	if (large && size >= SZ_2M && run_of(area, 0) < SZ_2M / PAGE_SIZE)
		goto free;
	/* An area of before may still map these pages, writable, until the next purge. */
	vm_unmap_aliases();
	fill_with_traps(area);
	dcache_clean_pou((unsigned long)addr, (unsigned long)addr + size);
	icache_inval_all_pou();
	isb();
	if (!set_alias(area, area->nr_pages, false, &done))
		return addr;
	set_alias(area, done, true, &undone);
free:
	vfree(addr);
	return NULL;
}
EXPORT_SYMBOL_GPL(arm64_exec_block_alloc);

/**
 * arm64_exec_block_free - frees what arm64_exec_block_alloc() has returned
 * @addr: the address
 *
 * First no TLB holds the executable mapping any more, then the alias becomes valid, and
 * so writable. Sleeps.
 */
void arm64_exec_block_free(const void *addr)
{
	const struct vm_struct *area = find_vm_area(addr);
	unsigned long start = (unsigned long)addr;
	unsigned int done;

	vunmap_range(start, start + area->nr_pages * PAGE_SIZE);
	/* The next owner of the pages would fault on them. */
	if (WARN_ON(set_alias(area, area->nr_pages, true, &done)))
		return;
	vfree(addr);
}
EXPORT_SYMBOL_GPL(arm64_exec_block_free);

bool arm64_exec_block_has_alias(void)
{
	return !can_set_direct_map();
}
EXPORT_SYMBOL_GPL(arm64_exec_block_has_alias);

int arm64_exec_block_set_alias(struct page *page, unsigned int pages, bool valid)
{
	return set_direct_map_valid_noflush(page, pages, valid);
}
EXPORT_SYMBOL_GPL(arm64_exec_block_set_alias);

void arm64_kernel_text(unsigned long *start, unsigned long *end)
{
	*start = (unsigned long)_stext;
	*end = (unsigned long)_etext;
}
EXPORT_SYMBOL_GPL(arm64_kernel_text);
