/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_PACK_HELPERS_H
#define BPF_PACK_HELPERS_H

#include <linux/ftrace.h>
#include <linux/mm_types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

u64 bpf_pack_helper_prot_rox(void);
u64 bpf_pack_helper_prot_fixmap(void);
int bpf_pack_helper_fixmap_slot(void);
unsigned long bpf_pack_helper_fixmap_address(void);
u32 bpf_pack_helper_break_insn(void);
unsigned long bpf_pack_helper_modules_start(void);
unsigned long bpf_pack_helper_vmalloc_start(void);
unsigned long bpf_pack_helper_vmalloc_end(void);
unsigned long bpf_pack_helper_vm_flags(bool huge);
unsigned long bpf_pack_helper_pmd_size(void);
unsigned int bpf_pack_helper_order(unsigned long size);
void bpf_pack_helper_vfree(const void *address);
unsigned long bpf_pack_helper_lock_irqsave(raw_spinlock_t *lock);
void bpf_pack_helper_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags);
void bpf_pack_helper_flush_tlb(unsigned long start, unsigned long end);
u64 bpf_pack_helper_page_to_phys(struct page *page);
struct page *bpf_pack_helper_virt_to_page(const void *address);
void *bpf_pack_helper_phys_to_virt(u64 pa);
u64 bpf_pack_helper_ttbr1(void);
u64 bpf_pack_helper_tcr(void);
void bpf_pack_helper_make_fetchable(unsigned long start, unsigned long end);
void bpf_pack_helper_synchronise_cpus(void);
bool bpf_pack_helper_within_module(unsigned long addr);
void bpf_pack_helper_set_ip(struct ftrace_regs *fregs, unsigned long ip);

#endif /* BPF_PACK_HELPERS_H */
