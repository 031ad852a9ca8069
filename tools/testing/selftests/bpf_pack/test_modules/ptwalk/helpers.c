// SPDX-License-Identifier: GPL-2.0
/*
 * Static inlines and macros of the kernel's headers, which Rust cannot call: one
 * function for each, and no logic. sys.rs declares them for Rust.
 */
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/vmalloc.h>
#include <asm/cpufeature.h>
#include <asm/memory.h>
#include <asm/pgtable.h>
#include <asm/sysreg.h>

#include "helpers.h"

u64 ptwalk_helper_ttbr1(void)
{
	return read_sysreg(ttbr1_el1);
}

u64 ptwalk_helper_tcr(void)
{
	return read_sysreg(tcr_el1);
}

bool ptwalk_helper_permission_indirection(void)
{
	return cpus_have_cap(ARM64_HAS_S1PIE);
}

bool ptwalk_helper_is_memory(u64 pa)
{
	return pfn_is_map_memory(PHYS_PFN(pa));
}

const void *ptwalk_helper_phys_to_virt(u64 pa)
{
	return phys_to_virt(pa);
}

bool ptwalk_helper_get_page(u64 pa)
{
	return get_page_unless_zero(phys_to_page(pa));
}

void ptwalk_helper_put_page(u64 pa)
{
	put_page(phys_to_page(pa));
}

void *ptwalk_helper_map_writable(u64 pa)
{
	struct page *page = phys_to_page(pa);

	return vmap(&page, 1, VM_MAP, PAGE_KERNEL);
}

unsigned long ptwalk_helper_vmalloc_start(void)
{
	return VMALLOC_START;
}

unsigned long ptwalk_helper_vmalloc_end(void)
{
	return VMALLOC_END;
}

unsigned long ptwalk_helper_linear_start(void)
{
	return PAGE_OFFSET;
}

unsigned long ptwalk_helper_linear_end(void)
{
	return PAGE_END;
}

u64 ptwalk_helper_prot_write_execute(void)
{
	return pgprot_val(PAGE_KERNEL_EXEC);
}
