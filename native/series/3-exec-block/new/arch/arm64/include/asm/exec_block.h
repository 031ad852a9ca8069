/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __ASM_EXEC_BLOCK_H
#define __ASM_EXEC_BLOCK_H

#include <linux/gfp_types.h>
#include <linux/types.h>

void *arm64_exec_block_alloc(size_t size, unsigned long start, unsigned long end, gfp_t gfp,
			     bool large, int node, const void *caller);
void arm64_exec_block_free(const void *addr);

/* Whether blocks keep their alias in the linear map, because the policy is not to change that. */
bool arm64_exec_block_has_alias(void);
int arm64_exec_block_set_alias(const void *addr, unsigned int pages, bool valid);

/* Where the kernel's text begins and ends: what calls it wants to be near. */
void arm64_kernel_text(unsigned long *start, unsigned long *end);

#endif /* __ASM_EXEC_BLOCK_H */
