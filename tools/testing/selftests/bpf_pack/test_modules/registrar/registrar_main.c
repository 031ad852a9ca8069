// SPDX-License-Identifier: GPL-2.0
/*
 * Another allocator for the JIT of a kernel that lets it have one (native/). It refuses
 * every image, after a pause, so that the kernel's own allocator serves. It can be told of
 * loads.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/atomic.h>
#include <linux/bpf_prog_pack.h>
#include <linux/delay.h>
#include <linux/module.h>

static unsigned int pause_ms;
module_param(pause_ms, uint, 0444);
MODULE_PARM_DESC(pause_ms, "milliseconds that each request for memory sleeps");

static bool incomplete;
module_param(incomplete, bool, 0444);
MODULE_PARM_DESC(incomplete, "register without one of the operations");

static bool loads;
module_param(loads, bool, 0444);
MODULE_PARM_DESC(loads, "be told where loads of several images begin and end");

/* Requests that came, and those that are sleeping; loads that have not ended. */
static atomic_t requests, sleeping, open_loads;

static int asked_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(param->arg));
}

static const struct kernel_param_ops asked_ops = { .get = asked_get };
module_param_cb(requests, &asked_ops, &requests, 0444);
MODULE_PARM_DESC(requests, "requests for memory so far");
module_param_cb(sleeping, &asked_ops, &sleeping, 0444);
MODULE_PARM_DESC(sleeping, "requests that sleep now");
module_param_cb(open_loads, &asked_ops, &open_loads, 0444);
MODULE_PARM_DESC(open_loads, "loads that have begun and not ended");

static void *refuse(u32 size, bool was_classic)
{
	atomic_inc(&requests);
	atomic_inc(&sleeping);
	if (pause_ms)
		msleep(pause_ms);
	atomic_dec(&sleeping);
	return NULL;
}

static int foreign_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw)
{
	return -ENOENT;
}

static bool foreign_free(void *image)
{
	return false;
}

static int foreign_copy(void *dst, void *src, size_t len)
{
	return -ENOENT;
}

static bool begin_load(u32 images)
{
	if (loads)
		atomic_inc(&open_loads);
	return loads;
}

static void end_load(void)
{
	atomic_dec(&open_loads);
}

static struct bpf_prog_pack_ops ops = {
	.alloc = refuse,
	.finalize = foreign_finalize,
	.free = foreign_free,
	.copy = foreign_copy,
	.begin_load = begin_load,
	.end_load = end_load,
};

static int __init registrar_init(void)
{
	if (incomplete)
		ops.end_load = NULL;
	return bpf_prog_pack_register(&ops);
}

static void __exit registrar_exit(void)
{
	pr_info("unregisters with %d requests asleep, %d loads open\n",
		atomic_read(&sleeping), atomic_read(&open_loads));
	bpf_prog_pack_unregister(&ops);
	pr_info("unregistered with %d requests asleep, %d loads open\n",
		atomic_read(&sleeping), atomic_read(&open_loads));
}

module_init(registrar_init);
module_exit(registrar_exit);
MODULE_DESCRIPTION("An allocator for JIT images that refuses all of them, for tests");
MODULE_LICENSE("GPL");
