/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Measures the bytes that the kernel has charged against net.core.bpf_jit_limit. The
 * kernel shows them nowhere, but it jits a program of a limited process only while the
 * charge and the program's own size together are within the limit: a search for the
 * lowest limit at which it does gives the charge to the byte.
 */
#ifndef BPF_PACK_CHARGE_H
#define BPF_PACK_CHARGE_H

#include <stdbool.h>

/* Start and end of measuring. charge_prepare() returns 0 or a negative errno. */
int charge_prepare(void);
void charge_finish(void);

/* The bytes charged now, or a negative errno: -EAGAIN if no two measurements agree. */
long long charge_measure(void);

/*
 * Makes the limited process load a program that returns 42 while the limit is @limit
 * bytes; its file descriptor or a negative errno. @jited gets true if the kernel
 * compiled it.
 */
int charge_try(long long limit, bool *jited);

#endif /* BPF_PACK_CHARGE_H */
