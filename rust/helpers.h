/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C declarations that Rust needs. bindgen makes helpers_generated.rs from this
 * file (see Kbuild), so that no function is declared twice.
 */
#ifndef BPF_PACK_HELPERS_H
#define BPF_PACK_HELPERS_H

#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/filter.h>
#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/set_memory.h>
#include <linux/spinlock_types.h>
#include <linux/syscore_ops.h>
#include <linux/types.h>
#include <linux/vmalloc.h>
#include <asm/cacheflush.h>
#include <asm/fixmap.h>
#include <asm/text-patching.h>
#ifdef CONFIG_BPF_PROG_PACK_OPS
#include <asm/exec_block.h>
#endif

/*
 * The types of the kernel functions that ksym.rs calls through pointers, taken
 * from the kernel's own declarations.
 */
typedef typeof(kallsyms_lookup_name) *bpf_pack_kallsyms_lookup_name;
typedef typeof(kallsyms_on_each_match_symbol) *bpf_pack_kallsyms_on_each_match_symbol;
typedef typeof(ftrace_location) *bpf_pack_ftrace_location;
typedef typeof(__vmalloc_node_range_noprof) *bpf_pack_vmalloc_node_range;
typedef typeof(set_direct_map_valid_noflush) *bpf_pack_set_direct_map_valid;
typedef typeof(vunmap_range) *bpf_pack_vunmap_range;
typedef typeof(can_set_direct_map) *bpf_pack_can_set_direct_map;
typedef typeof(dcache_clean_pou) *bpf_pack_dcache_clean_pou;
typedef typeof(__set_fixmap) *bpf_pack_set_fixmap;
typedef typeof(bpf_address_lookup) *bpf_pack_address_lookup;
typedef typeof(aarch64_insn_patch_text_nosync) *bpf_pack_patch_text;
typedef typeof(aarch64_insn_write_literal_u64) *bpf_pack_write_literal;

/* The types of the hooked functions, which their replacements have, too (hook/entry.rs). */
typedef typeof(bpf_prog_pack_alloc) *bpf_pack_prog_pack_alloc;
typedef typeof(bpf_prog_pack_free) *bpf_pack_prog_pack_free;
typedef typeof(bpf_jit_binary_pack_finalize) *bpf_pack_binary_pack_finalize;
typedef typeof(bpf_arch_text_copy) *bpf_pack_text_copy;
typedef typeof(bpf_arch_text_poke) *bpf_pack_text_poke;
typedef typeof(bpf_fixup_call_args) *bpf_pack_fixup_call_args;

/* Enter the stock functions past whatever is attached to them (hook/enter_stock.S). */
typeof(bpf_prog_pack_alloc) bpf_pack_pass_on_alloc;
typeof(bpf_prog_pack_free) bpf_pack_pass_on_free;
typeof(bpf_jit_binary_pack_finalize) bpf_pack_pass_on_finalize;
typeof(bpf_arch_text_copy) bpf_pack_pass_on_text_copy;
typeof(bpf_arch_text_poke) bpf_pack_pass_on_text_poke;
typeof(bpf_fixup_call_args) bpf_pack_pass_on_fixup_call_args;

/* The protection bits of PAGE_KERNEL_ROX. */
u64 bpf_pack_helper_prot_rox(void);
/* MODULES_VADDR. */
unsigned long bpf_pack_helper_modules_start(void);
/* VMALLOC_START. */
unsigned long bpf_pack_helper_vmalloc_start(void);
/* VMALLOC_END. */
unsigned long bpf_pack_helper_vmalloc_end(void);
/* The flags of a region's vmalloc area; with VM_ALLOW_HUGE_VMAP if @huge. */
unsigned long bpf_pack_helper_vm_flags(bool huge);
/* PMD_SIZE. */
unsigned long bpf_pack_helper_pmd_size(void);
/* nr_node_ids: all numbers of memory nodes are below this. */
unsigned int bpf_pack_helper_node_numbers(void);
/* numa_node_id(): the memory node of this CPU. */
int bpf_pack_helper_this_node(void);
/* page_to_nid(): the memory node of the memory at @pa. */
int bpf_pack_helper_node_of(u64 pa);
/* get_order(): the binary logarithm of the pages in @size bytes, rounded up. */
unsigned int bpf_pack_helper_order(unsigned long size);
/* Whether some memory zone has a free block of @order or larger now. */
bool bpf_pack_helper_has_free_block(unsigned int order);
/* Allocates a block of @order and frees it again. False if there is none. */
bool bpf_pack_helper_can_allocate(gfp_t gfp, unsigned int order);
/* vfree(). kvfree() would take an address among the modules for slab memory. */
void bpf_pack_helper_vfree(const void *address);
/* vm_unmap_aliases(): no TLB has an entry of a vmalloc area that was freed before. Sleeps. */
void bpf_pack_helper_unmap_aliases(void);
/* kmemleak_no_scan(): kmemleak does not read the memory of this vmalloc area. */
void bpf_pack_helper_no_scan(const void *address);
/* page_to_phys(). */
u64 bpf_pack_helper_page_to_phys(struct page *page);
/* virt_to_page(), for an address in the linear map. */
struct page *bpf_pack_helper_virt_to_page(const void *address);
/* phys_to_virt(): the address in the linear map. */
void *bpf_pack_helper_phys_to_virt(u64 pa);
/* The register TTBR1_EL1. */
u64 bpf_pack_helper_ttbr1(void);
/* The register TCR_EL1. */
u64 bpf_pack_helper_tcr(void);
/*
 * caches_clean_inval_pou(). The self-test `order` puts a kprobe on this function;
 * the kernel's own function allows none.
 */
void bpf_pack_helper_make_fetchable(unsigned long start, unsigned long end);
/* The same for a large range: calls @clean, which is dcache_clean_pou(), then IC IALLUIS. */
void bpf_pack_helper_make_much_fetchable(bpf_pack_dcache_clean_pou clean,
					 unsigned long start, unsigned long end);
/* Executes an ISB on every online CPU, this one included, and waits for all of them. */
void bpf_pack_helper_synchronise_cpus(void);
/* Calls @each_match, which is kallsyms_on_each_match_symbol(). */
int bpf_pack_helper_each_match(bpf_pack_kallsyms_on_each_match_symbol each_match,
			       int (*fn)(void *data, unsigned long address),
			       const char *name, void *data);
/* The protection bits of FIXMAP_PAGE_NORMAL, which depend on the CPU. */
u64 bpf_pack_helper_prot_window(void);
/* An open window: the address of a byte in the slot, and what closing it needs. */
struct bpf_pack_window {
	void *start;
	unsigned long irq_flags;
};

/*
 * Takes @lock, which is patch_lock, with interrupts off, and maps the page of @pa,
 * with the bits @prot, in the slot FIX_TEXT_POKE0. @map is __set_fixmap(). Returns
 * the address of @pa in the slot.
 */
struct bpf_pack_window bpf_pack_helper_open_window(raw_spinlock_t *lock, bpf_pack_set_fixmap map,
						   u64 pa, u64 prot);
/* Clears the slot FIX_TEXT_POKE0 again, and releases @lock. */
void bpf_pack_helper_close_window(raw_spinlock_t *lock, bpf_pack_set_fixmap map,
				  unsigned long flags);
/*
 * The ftrace callback of a redirected function: goes on at the address that is the
 * private data of @ops. Not traced.
 */
void bpf_pack_helper_redirect(unsigned long ip, unsigned long parent_ip,
			      struct ftrace_ops *ops, struct ftrace_regs *fregs);
/* The number of functions of the program that @env verifies. */
u32 bpf_pack_helper_functions(const struct bpf_verifier_env *env);
/* bpf_prog_create(), from @len classic instructions. */
int bpf_pack_helper_prog_create(struct bpf_prog **prog, struct sock_filter *code, u16 len);
/* bpf_prog_destroy(). */
void bpf_pack_helper_prog_destroy(struct bpf_prog *prog);
/* Whether the JIT compiled a program. */
bool bpf_pack_helper_prog_jited(const struct bpf_prog *prog);
/*
 * A number that differs after an interrupt on this CPU or after the task was switched
 * out. Only in the test build.
 */
u64 bpf_pack_unit_disturbances(void);

#endif /* BPF_PACK_HELPERS_H */
