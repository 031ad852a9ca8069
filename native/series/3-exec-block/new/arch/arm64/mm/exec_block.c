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
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include <asm/barrier.h>
#include <asm/cacheflush.h>
#include <asm/exec_block.h>
#include <asm/insn-def.h>
#include <asm/pgtable.h>
#include <asm/sections.h>

/* The areas of blocks, by their addresses in units of 2 MiB. */
static DEFINE_XARRAY(blocks);

/* The number of pages from @first on that are neighbours in memory. */
static unsigned int run_of(const struct vm_struct *area, unsigned int first)
{
	unsigned int next = first + 1;

	while (next < area->nr_pages &&
	       page_to_pfn(area->pages[next]) == page_to_pfn(area->pages[next - 1]) + 1)
		next++;
	return next - first;
}

/* Whether each 2 MiB are contiguous and aligned in memory, too: as leaves need it. */
static bool is_in_large_pieces(const struct vm_struct *area)
{
	const unsigned int piece = SZ_2M / PAGE_SIZE;

	for (unsigned int first = 0; first < area->nr_pages; first += piece)
		if (!IS_ALIGNED(page_to_phys(area->pages[first]), SZ_2M) ||
		    run_of(area, first) < min(piece, area->nr_pages - first))
			return false;
	return true;
}

/* Makes the alias of the pages from @first to @end valid or invalid; stops at an error. */
static int set_alias(const struct vm_struct *area, unsigned int first, unsigned int end,
		     bool valid, unsigned int *done)
{
	unsigned int run;
	int err;

	for (*done = first; *done < end; *done += run) {
		run = min(run_of(area, *done), end - *done);
		err = set_direct_map_valid_noflush(area->pages[*done], run, valid);
		if (err)
			return err;
	}
	return 0;
}

static unsigned long bytes_of(const struct vm_struct *area)
{
	return area->nr_pages * PAGE_SIZE;
}

/* The block that has @addr, or NULL. Takes no lock. */
static const struct vm_struct *block_of(const void *addr)
{
	const struct vm_struct *area = xa_load(&blocks, (unsigned long)addr / SZ_2M);

	return area && addr < area->addr + bytes_of(area) ? area : NULL;
}

static void forget(const struct vm_struct *area)
{
	for (unsigned long at = 0; at < bytes_of(area); at += SZ_2M)
		xa_erase(&blocks, ((unsigned long)area->addr + at) / SZ_2M);
}

static int remember(struct vm_struct *area, gfp_t gfp)
{
	int err;

	for (unsigned long at = 0; at < bytes_of(area); at += SZ_2M) {
		err = xa_err(xa_store(&blocks, ((unsigned long)area->addr + at) / SZ_2M, area,
				      gfp));
		if (err) {
			forget(area);
			return err;
		}
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
 * @node: the memory node that is preferred, or NUMA_NO_NODE
 * @caller: the function that /proc/vmallocinfo names
 *
 * All of it is AARCH64_BREAK_FAULT and fetched as such by all CPUs: nobody has executed
 * there. Its address is a multiple of 2 MiB. Sleeps.
 *
 * Return: the address; or an error: -ENOMEM if there is no memory or no room, -EAGAIN if the memory
 * is not as @large wants it or its alias cannot be changed.
 */
void *arm64_exec_block_alloc(size_t size, unsigned long start, unsigned long end, gfp_t gfp,
			     bool large, int node, const void *caller)
{
	pgprot_t prot = __pgprot(pgprot_val(PAGE_KERNEL_ROX) | PTE_MAYBE_GP);
	/*
	 * /proc/kcore reads areas through the linear map, but shows sparse ones as zeroes.
	 * Without a guard page, two blocks can be neighbours.
	 */
	unsigned long flags = VM_SPARSE | VM_NO_GUARD;
	unsigned int done, undone;
	struct vm_struct *area;
	void *addr;

	/* The kernel rounds the size of an area with leaves of PMD_SIZE up to that. */
	if (large && (size < PMD_SIZE || IS_ALIGNED(size, PMD_SIZE)))
		flags |= VM_ALLOW_HUGE_VMAP;
	addr = __vmalloc_node_range_noprof(size, SZ_2M, start, end, gfp | __GFP_ZERO, prot, flags,
					   node, caller);
	if (!addr)
		return ERR_PTR(-ENOMEM);
	/* Unmapped before it is freed; and nothing in it could point to memory. */
	kmemleak_no_scan(addr);
	area = find_vm_area(addr);
	/* Before anything happens to the alias, which would split blocks of the linear map. */
	if (large && size >= SZ_2M && !is_in_large_pieces(area))
		goto free;
	if (remember(area, gfp))
		goto free;
	/* An area of before may still map these pages, writable, until the next purge. */
	vm_unmap_aliases();
	fill_with_traps(area);
	dcache_clean_pou((unsigned long)addr, (unsigned long)addr + size);
	icache_inval_all_pou();
	isb();
	if (!set_alias(area, 0, area->nr_pages, false, &done))
		return addr;
	forget(area);
	/* Also the run that failed, which may be invalid in part. */
	done += run_of(area, done);
	/* The next owner of the pages would fault on them. */
	if (WARN_ON(set_alias(area, 0, done, true, &undone)))
		return ERR_PTR(-EAGAIN);
free:
	vfree(addr);
	return ERR_PTR(-EAGAIN);
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
	const struct vm_struct *area = block_of(addr);
	unsigned long start = (unsigned long)addr;
	unsigned int done;

	if (WARN_ON(!area || area->addr != addr))
		return;
	forget(area);
	vunmap_range(start, start + bytes_of(area));
	/* The next owner of the pages would fault on them. */
	if (WARN_ON(set_alias(area, 0, area->nr_pages, true, &done)))
		return;
	vfree(addr);
}
EXPORT_SYMBOL_GPL(arm64_exec_block_free);

bool arm64_exec_block_has_alias(void)
{
	return !can_set_direct_map();
}
EXPORT_SYMBOL_GPL(arm64_exec_block_has_alias);

/**
 * arm64_exec_block_set_alias - makes the alias of a part of a block valid, or invalid again
 * @addr: the first page, by its executable address
 * @pages: their number
 * @valid: which of the two
 *
 * For a system that goes to sleep: hibernation copies memory through the linear map. Whoever
 * makes it valid sees to it that no other task runs until it is invalid again.
 *
 * Return: -EINVAL if the pages are not all of one block; errors of the linear map.
 */
int arm64_exec_block_set_alias(const void *addr, unsigned int pages, bool valid)
{
	const struct vm_struct *area = block_of(addr);
	unsigned int first, done;

	if (!area || !PAGE_ALIGNED(addr))
		return -EINVAL;
	first = (addr - area->addr) / PAGE_SIZE;
	if (pages > area->nr_pages - first)
		return -EINVAL;
	return set_alias(area, first, first + pages, valid, &done);
}
EXPORT_SYMBOL_GPL(arm64_exec_block_set_alias);

void arm64_kernel_text(unsigned long *start, unsigned long *end)
{
	*start = (unsigned long)_stext;
	*end = (unsigned long)_etext;
}
EXPORT_SYMBOL_GPL(arm64_kernel_text);
