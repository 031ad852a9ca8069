/* SPDX-License-Identifier: GPL-2.0 */
/* The Rust functions that run the unit tests, for kunit.c. */
#ifndef BPF_PACK_KUNIT_H
#define BPF_PACK_KUNIT_H

#include <linux/types.h>

/* Copies the name of a case to @name; returns its length, 0 if there is no such case. */
size_t bpf_pack_unit_name(u32 suite, u32 nr, char *name, size_t size);
/* Runs a case; false if it failed, and the log says why. Sleeps. */
bool bpf_pack_unit_run(u32 suite, u32 nr);

#endif /* BPF_PACK_KUNIT_H */
