/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Enters a stock function behind its patch site: where ftrace itself goes on to
 * when a call is not redirected (arch/arm64/kernel/entry-ftrace.S). No tracer
 * and no hook sees that a second time, and nothing can recurse, whoever has
 * replaced the return address before the patch site.
 *
 * Each function is called as the stock function is, and the stock function
 * returns to that caller.
 */
#include <linux/linkage.h>
#include <asm/assembler.h>

/* @index: place in BPF_PACK_BEHIND of hook/pass_on.rs, where the address stands. */
.macro pass_on name, index
SYM_FUNC_START(bpf_pack_pass_on_\name)
	ldr_l	x16, BPF_PACK_BEHIND + 8 * \index
#ifdef CONFIG_ARM64_BTI_KERNEL
	/* There is no landing pad behind the patch site; RET needs none. */
	ret	x16
#else
	br	x16
#endif
SYM_FUNC_END(bpf_pack_pass_on_\name)
.endm

pass_on	free, 0
pass_on	finalize, 1
pass_on	text_copy, 2
pass_on	text_poke, 3
pass_on	alloc, 4
