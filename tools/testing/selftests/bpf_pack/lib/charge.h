/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel has charged against net.core.bpf_jit_limit, measured from
 * outside: nothing shows it, but a program of a limited process is jited
 * exactly when the charge and its own size together stay within the limit, so
 * moving the limit step by step finds it to the byte.
 */
#ifndef BPF_PACK_CHARGE_H
#define BPF_PACK_CHARGE_H

#include <stdbool.h>

/* Makes ready to measure and cleans up; 0 or a negative errno. */
int charge_prepare(void);
void charge_finish(void);

/* The bytes charged now, or a negative errno; -EAGAIN where it never settled. */
long long charge_measure(void);

/*
 * Makes a limited process load a program that returns 42 while the limit is
 * @limit bytes; its file descriptor or a negative errno. @jited says whether
 * the kernel compiled it.
 */
int charge_try(long long limit, bool *jited);

#endif /* BPF_PACK_CHARGE_H */
