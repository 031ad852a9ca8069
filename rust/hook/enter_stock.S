/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Enters a stock function after its patch site, at the instruction where ftrace
 * itself continues when a call is not redirected (arch/arm64/kernel/entry-ftrace.S).
 * So no tracer and no hook sees the call a second time, and a call cannot
 * recurse, even if a kretprobe has replaced the return address.
 *
 * Each function here has the prototype of its stock function, which returns to
 * the caller of the function here.
 */
#include <linux/linkage.h>
#include <asm/assembler.h>

/* @index: index of the stock function's address in BPF_PACK_ENTRIES (hook/pass_on.rs) */
.macro pass_on name, index
SYM_FUNC_START(bpf_pack_pass_on_\name)
	ldr_l	x16, BPF_PACK_ENTRIES + 8 * \index
#ifdef CONFIG_ARM64_BTI_KERNEL
	/* The code after the patch site has no landing pad; RET needs none. */
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
pass_on	fixup_call_args, 4
pass_on	alloc, 5
