// SPDX-License-Identifier: GPL-2.0
/*
 * Functions around what Rust cannot call: static inlines and macros of the
 * kernel's headers. They have no logic; helpers.h describes them.
 */
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>
#include <asm/barrier.h>
#include <asm/cacheflush.h>
#include <asm/fixmap.h>
#include <asm/pgtable.h>
#include <asm/sysreg.h>

#include "helpers.h"

u64 bpf_pack_helper_prot_rox(void)
{
	/* Enforces BTI, as set_memory_x() does for the stock kernel's packs. */
	return pgprot_val(PAGE_KERNEL_ROX) | PTE_MAYBE_GP;
}

unsigned long bpf_pack_helper_modules_start(void)
{
	return MODULES_VADDR;
}

unsigned long bpf_pack_helper_vmalloc_start(void)
{
	return VMALLOC_START;
}

unsigned long bpf_pack_helper_vmalloc_end(void)
{
	return VMALLOC_END;
}

unsigned long bpf_pack_helper_vm_flags(bool huge)
{
	/*
	 * VM_SPARSE: /proc/kcore reads vmalloc areas through the linear map and would
	 * fault on an invalid alias. It shows sparse areas as zeroes (mm/vmalloc.c,
	 * vread_iter()). The flag has no other effect on an area that is fully mapped.
	 *
	 * VM_NO_GUARD: so two regions of 2 MiB can be neighbours. They need no guard
	 * page: nothing writes to a region by its address, and code that runs beyond
	 * its end meets traps or an image.
	 */
	return VM_SPARSE | VM_NO_GUARD | (huge ? VM_ALLOW_HUGE_VMAP : 0);
}

unsigned long bpf_pack_helper_pmd_size(void)
{
	return PMD_SIZE;
}

unsigned int bpf_pack_helper_node_numbers(void)
{
	return nr_node_ids;
}

int bpf_pack_helper_this_node(void)
{
	return numa_node_id();
}

int bpf_pack_helper_node_of(u64 pa)
{
	return page_to_nid(phys_to_page(pa));
}

unsigned int bpf_pack_helper_order(unsigned long size)
{
	return get_order(size);
}

bool bpf_pack_helper_has_free_block(unsigned int order)
{
	struct zone *zone;
	int node;

	for_each_online_node(node)
		for (zone = NODE_DATA(node)->node_zones;
		     zone < NODE_DATA(node)->node_zones + MAX_NR_ZONES; zone++)
			for (unsigned int o = order; o < NR_PAGE_ORDERS; o++)
				if (READ_ONCE(zone->free_area[o].nr_free))
					return true;
	return false;
}

/* What alloc_pages() is, depends on CONFIG_NUMA. */
bool bpf_pack_helper_can_allocate(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp, order);

	if (!page)
		return false;
	__free_pages(page, order);
	return true;
}

void bpf_pack_helper_vfree(const void *address)
{
	vfree(address);
}

void bpf_pack_helper_unmap_aliases(void)
{
	vm_unmap_aliases();
}

void bpf_pack_helper_no_scan(const void *address)
{
	kmemleak_no_scan(address);
}

u64 bpf_pack_helper_page_to_phys(struct page *page)
{
	return page_to_phys(page);
}

struct page *bpf_pack_helper_virt_to_page(const void *address)
{
	return virt_to_page(address);
}

void *bpf_pack_helper_phys_to_virt(u64 pa)
{
	return phys_to_virt(pa);
}

u64 bpf_pack_helper_ttbr1(void)
{
	return read_sysreg(ttbr1_el1);
}

u64 bpf_pack_helper_tcr(void)
{
	return read_sysreg(tcr_el1);
}

void bpf_pack_helper_make_fetchable(unsigned long start, unsigned long end)
{
	caches_clean_inval_pou(start, end);
}

/* dcache_clean_pou() is assembly without a type hash (arch/arm64/mm/cache.S). */
void __nocfi bpf_pack_helper_make_much_fetchable(bpf_pack_dcache_clean_pou clean,
						 unsigned long start, unsigned long end)
{
	clean(start, end);
	icache_inval_all_pou();
	isb();
}

static void synchronise_context(void *unused)
{
	isb();
}

void bpf_pack_helper_synchronise_cpus(void)
{
	on_each_cpu(synchronise_context, NULL, 1);
}

int bpf_pack_helper_each_match(bpf_pack_kallsyms_on_each_match_symbol each_match,
			       int (*fn)(void *data, unsigned long address),
			       const char *name, void *data)
{
	return each_match(fn, name, data);
}

u64 bpf_pack_helper_prot_window(void)
{
	return pgprot_val(FIXMAP_PAGE_NORMAL);
}

struct bpf_pack_window bpf_pack_helper_open_window(raw_spinlock_t *lock, bpf_pack_set_fixmap map,
						   u64 pa, u64 prot)
{
	struct bpf_pack_window window;

	raw_spin_lock_irqsave(lock, window.irq_flags);
	map(FIX_TEXT_POKE0, pa & PAGE_MASK, __pgprot(prot));
	window.start = (void *)__fix_to_virt(FIX_TEXT_POKE0) + offset_in_page(pa);
	return window;
}

void bpf_pack_helper_close_window(raw_spinlock_t *lock, bpf_pack_set_fixmap map,
				  unsigned long flags)
{
	map(FIX_TEXT_POKE0, 0, FIXMAP_PAGE_CLEAR);
	raw_spin_unlock_irqrestore(lock, flags);
}

u32 bpf_pack_helper_functions(const struct bpf_verifier_env *env)
{
	return env->subprog_cnt;
}

int bpf_pack_helper_prog_create(struct bpf_prog **prog, struct sock_filter *code, u16 len)
{
	struct sock_fprog_kern from = { .len = len, .filter = code };

	return bpf_prog_create(prog, &from);
}

void bpf_pack_helper_prog_destroy(struct bpf_prog *prog)
{
	bpf_prog_destroy(prog);
}

bool bpf_pack_helper_prog_jited(const struct bpf_prog *prog)
{
	return prog->jited;
}
