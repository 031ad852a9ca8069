// SPDX-License-Identifier: GPL-2.0
/*
 * Makes calls of one kernel function return a value at once, as if a step of it had failed.
 * The function must not be inlined.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/atomic.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/sprintf.h>
#include <linux/string.h>

static char *function = "";
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "name of the function");

static char *caller = "";
module_param(caller, charp, 0444);
MODULE_PARM_DESC(caller, "name of the kernel function whose calls count and fail (default: any)");

static long value = -ENOMEM;
module_param(value, long, 0444);
MODULE_PARM_DESC(value, "what it returns (default: -ENOMEM)");

static unsigned int after;
module_param(after, uint, 0444);
MODULE_PARM_DESC(after, "calls that run as ever before the first that fails");

static unsigned int times = UINT_MAX;
module_param(times, uint, 0444);
MODULE_PARM_DESC(times, "calls that fail (default: all)");

static atomic_t calls, failed;

static int number_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(param->arg));
}

static const struct kernel_param_ops number_ops = { .get = number_get };
module_param_cb(calls, &number_ops, &calls, 0444);
MODULE_PARM_DESC(calls, "calls by the caller so far");
module_param_cb(failed, &number_ops, &failed, 0444);
MODULE_PARM_DESC(failed, "calls that failed so far");

static bool is_of_caller(struct pt_regs *regs)
{
	char name[KSYM_NAME_LEN];

	if (!*caller)
		return true;
	/* The call, not what it returns to: that may be another function's first instruction. */
	snprintf(name, sizeof(name), "%ps", (void *)(procedure_link_pointer(regs) - 1));
	return !strcmp(name, caller);
}
NOKPROBE_SYMBOL(is_of_caller);

/* At the function's first instruction, which has not run: the caller gets the value. */
static int enter(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int call;

	if (!is_of_caller(regs))
		return 0;
	call = atomic_inc_return(&calls) - 1;
	if (call < after || call - after >= times)
		return 0;
	atomic_inc(&failed);
	regs_set_return_value(regs, value);
	/* It may have been called through a pointer; where it returns to is no landing pad. */
	regs->pstate &= ~PSR_BTYPE_MASK;
	instruction_pointer_set(regs, procedure_link_pointer(regs));
	return 1;
}
NOKPROBE_SYMBOL(enter);

static struct kprobe probe = { .pre_handler = enter };

static int __init failer_init(void)
{
	probe.symbol_name = function;
	return register_kprobe(&probe);
}

static void __exit failer_exit(void)
{
	unregister_kprobe(&probe);
	pr_info("%d of %d calls of %s failed\n", atomic_read(&failed), atomic_read(&calls),
		function);
}

module_init(failer_init);
module_exit(failer_exit);
MODULE_DESCRIPTION("Makes calls of a kernel function fail, for tests");
MODULE_LICENSE("GPL");
