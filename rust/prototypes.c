// SPDX-License-Identifier: GPL-2.0
/*
 * Compares the prototypes that ksym.rs and hook/entry.rs were written for with
 * those of the kernel's headers, at build time. A kernel with another prototype
 * gives a build error that names the function, not a crash.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/build_bug.h>
#include <linux/filter.h>
#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/memory.h>
#include <linux/set_memory.h>
#include <linux/vmalloc.h>
#include <asm/fixmap.h>
#include <asm/insn-def.h>
#include <asm/text-patching.h>

#define EXPECT(function, ...)						\
	static_assert(__same_type(function, __VA_ARGS__),		\
		      "the kernel's prototype of " #function		\
		      "() is not the one that bpf_pack was written for: " \
		      "bpf_pack cannot be built for this kernel")

/* Hooked functions: their replacements in hook/entry.rs have the same prototypes. */
EXPECT(bpf_prog_pack_alloc, void *(u32, bpf_jit_fill_hole_t, bool));
EXPECT((bpf_jit_fill_hole_t)NULL, void (*)(void *, unsigned int));
EXPECT(bpf_prog_pack_free, void(void *, u32));
EXPECT(bpf_jit_binary_pack_finalize,
	int(struct bpf_binary_header *, struct bpf_binary_header *));
EXPECT(bpf_arch_text_copy, void *(void *, void *, size_t));
EXPECT(bpf_arch_text_poke,
	int(void *, enum bpf_text_poke_type, enum bpf_text_poke_type, void *, void *));

EXPECT(bpf_fixup_call_args, int(struct bpf_verifier_env *));

/* Functions that ksym.rs calls through pointers. */
EXPECT(kallsyms_lookup_name, unsigned long(const char *));
EXPECT(__vmalloc_node_range_noprof,
	void *(unsigned long, unsigned long, unsigned long, unsigned long, gfp_t,
	       pgprot_t, unsigned long, int, const void *));
EXPECT(set_direct_map_valid_noflush, int(struct page *, unsigned int, bool));
EXPECT(vunmap_range, void(unsigned long, unsigned long));
EXPECT(can_set_direct_map, bool(void));
EXPECT(bpf_address_lookup, int(unsigned long, unsigned long *, unsigned long *, char *));
EXPECT(aarch64_insn_patch_text_nosync, int(void *, u32));
EXPECT(aarch64_insn_write_literal_u64, int(void *, u64));
EXPECT(__set_fixmap, void(enum fixed_addresses, phys_addr_t, pgprot_t));

/* Compared with the fill function that callers of bpf_prog_pack_alloc() pass. */
EXPECT(bpf_jit_fill_hole_with_zero, void(void *, unsigned int));

/* Layouts and a number that the Rust code relies on. */
static_assert(AARCH64_BREAK_FAULT == 0xd4202000);
static_assert(sizeof(pgprot_t) == sizeof(u64));
static_assert(offsetof(struct bpf_binary_header, size) == 0);
static_assert(sizeof_field(struct bpf_binary_header, size) == sizeof(u32));
EXPECT(bpf_pred_flush_enabled.key.enabled, atomic_t);
static_assert(offsetof(struct static_key, enabled) == 0);
EXPECT(text_mutex, struct mutex);
