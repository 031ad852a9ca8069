// SPDX-License-Identifier: GPL-2.0
/*
 * Holds one function that bpf_pack hooks, as a live patch would: while this module is
 * loaded, nobody else can redirect the function, which itself runs as ever.
 */
#include <linux/ftrace.h>
#include <linux/module.h>

static char *function = "bpf_prog_pack_alloc";
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "name of the function to hold");

static void notrace hold(unsigned long ip, unsigned long parent_ip,
			 struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

static struct ftrace_ops holder_ops = {
	.func = hold,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static int __init holder_init(void)
{
	int error;

	error = ftrace_set_filter(&holder_ops, function, strlen(function), 1);
	if (error)
		return error;
	error = register_ftrace_function(&holder_ops);
	if (error)
		ftrace_free_filter(&holder_ops);
	return error;
}

static void __exit holder_exit(void)
{
	unregister_ftrace_function(&holder_ops);
	ftrace_free_filter(&holder_ops);
}

module_init(holder_init);
module_exit(holder_exit);
MODULE_DESCRIPTION("Holds a function against other users of ftrace, for tests");
MODULE_LICENSE("GPL");
