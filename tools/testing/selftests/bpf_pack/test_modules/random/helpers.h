/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RANDOM_HELPERS_H
#define RANDOM_HELPERS_H

#include <linux/types.h>

int random_helper_run(u32 count, void (*work)(void *item), void *items, size_t size);
u32 random_helper_trap(void);
void random_helper_resched(void);

#endif /* RANDOM_HELPERS_H */
