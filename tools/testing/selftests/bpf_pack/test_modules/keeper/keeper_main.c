// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps images of one size from insmod to rmmod, so that a test can fill packs. They
 * are never final: nobody copies anything into them, and nobody runs them.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "bpf_pack.h"

static unsigned int count = 1;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "images to keep (default 1)");

static unsigned int size = 64;
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "bytes of each (default 64)");

static void **images;
static unsigned int kept;

static int __init keeper_init(void)
{
	images = kvmalloc_array(count, sizeof(*images), GFP_KERNEL);
	if (!images)
		return -ENOMEM;
	while (kept < count) {
		images[kept] = bpf_pack_alloc(size, 0);
		if (!images[kept])
			break;
		kept++;
		cond_resched();
	}
	pr_info(KBUILD_MODNAME ": keeps %u of %u images of %u bytes\n", kept, count, size);
	return 0;
}

static void __exit keeper_exit(void)
{
	while (kept) {
		bpf_pack_free(images[--kept], size);
		cond_resched();
	}
	kvfree(images);
}

module_init(keeper_init);
module_exit(keeper_exit);
MODULE_DESCRIPTION("Keeps images of bpf_pack, for tests");
MODULE_LICENSE("GPL");
