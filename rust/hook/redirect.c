// SPDX-License-Identifier: GPL-2.0
/*
 * What only the redirecting module has: a kernel whose JIT calls the module need not have
 * ftrace.
 */
#include <linux/ftrace.h>

#include "../helpers.h"

/* ftrace must not trace its own callback. */
void notrace bpf_pack_helper_redirect(unsigned long ip, unsigned long parent_ip,
				      struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)ops->private);
}
