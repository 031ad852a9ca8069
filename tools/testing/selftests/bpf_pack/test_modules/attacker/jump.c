// SPDX-License-Identifier: GPL-2.0
/*
 * Jumps to memory that should trap. The kernel has no exception table for a jump and dies
 * of such a trap. So the handler of the trap is redirected while this module jumps: the
 * jumping task then goes on at its return address.
 */
#include <linux/compiler.h>
#include <linux/ftrace.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/debug-monitors.h>
#include <asm/insn-def.h>
#include <asm/ptrace.h>

#include "jump.h"

/* The kernel's handler of BRK #0x100, which gets the registers of the trap. */
#define HANDLER "reserved_fault_brk_handler"

#define VALUE_TRAPPED 0x7a99edUL
#define VALUE_RAN 0x600dUL

/* The task that jumps, and where it trapped. */
static struct task_struct *jumper;
static unsigned long trapped_at;

noinline unsigned long landing_pad(void)
{
	return VALUE_RAN;
}

static void notrace catch(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			  struct ftrace_regs *fregs)
{
	struct pt_regs *trap = (struct pt_regs *)ftrace_regs_get_argument(fregs, 0);

	if (READ_ONCE(jumper) != current)
		return;
	trapped_at = trap->pc;
	trap->pc = trap->regs[30];
	trap->regs[0] = VALUE_TRAPPED;
	ftrace_regs_set_return_value(fregs, DBG_HOOK_HANDLED);
	ftrace_override_function_with_return(fregs);
}

static struct ftrace_ops catcher = {
	.func = catch,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

int jump_begin(void)
{
	int err = ftrace_set_filter(&catcher, HANDLER, strlen(HANDLER), 1);

	if (err)
		return err;
	err = register_ftrace_function(&catcher);
	if (err)
		ftrace_free_filter(&catcher);
	return err;
}

void jump_end(void)
{
	unregister_ftrace_function(&catcher);
	ftrace_free_filter(&catcher);
}

/* No kCFI type identifier stands before the target. */
static noinline __nocfi unsigned long call(unsigned long address)
{
	unsigned long (*function)(void) = (unsigned long (*)(void))address;

	return function();
}

enum landing jump(unsigned long address)
{
	unsigned long value;
	u32 word;

	if (copy_from_kernel_nofault(&word, (void *)address, sizeof(word)))
		return LANDING_UNMAPPED;
	if (word != AARCH64_BREAK_FAULT && address != (unsigned long)landing_pad)
		return LANDING_NO_TRAP;
	trapped_at = 0;
	WRITE_ONCE(jumper, current);
	value = call(address);
	WRITE_ONCE(jumper, NULL);
	if (value != VALUE_TRAPPED)
		return LANDING_RAN;
	return trapped_at == address ? LANDING_TRAPPED : LANDING_ELSEWHERE;
}

void fall(unsigned long address)
{
	pr_info(KBUILD_MODNAME ": jumps to 0x%lx\n", address);
	call(address);
	pr_info(KBUILD_MODNAME ": came back\n");
}
