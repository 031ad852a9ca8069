/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PTWALK_HELPERS_H
#define PTWALK_HELPERS_H

#include <linux/types.h>

u64 ptwalk_helper_ttbr1(void);
u64 ptwalk_helper_tcr(void);
bool ptwalk_helper_permission_indirection(void);
bool ptwalk_helper_is_memory(u64 pa);
const void *ptwalk_helper_phys_to_virt(u64 pa);
bool ptwalk_helper_get_page(u64 pa);
void ptwalk_helper_put_page(u64 pa);
void *ptwalk_helper_map_writable(u64 pa);
unsigned long ptwalk_helper_vmalloc_start(void);
unsigned long ptwalk_helper_vmalloc_end(void);
unsigned long ptwalk_helper_linear_start(void);
unsigned long ptwalk_helper_linear_end(void);
u64 ptwalk_helper_prot_write_execute(void);

#endif /* PTWALK_HELPERS_H */
