/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_PACK_ATTACKER_JUMP_H
#define BPF_PACK_ATTACKER_JUMP_H

#include <linux/types.h>

/* What became of a jump. */
enum landing {
	LANDING_TRAPPED,	/* the first instruction trapped, and nothing else ran */
	LANDING_RAN,		/* something ran, and returned */
	LANDING_ELSEWHERE,	/* something ran, and trapped later */
	LANDING_NO_TRAP,	/* not tried: the word there does not trap, and is not ours */
	LANDING_UNMAPPED,	/* not tried: there is no memory */
};

/* A function that @jump may run: it shows that a jump runs what does not trap. */
unsigned long landing_pad(void);

/* Begins and ends to catch the traps of jump(). */
int jump_begin(void);
void jump_end(void);

/* Jumps to @address and comes back. */
enum landing jump(unsigned long address);

/* Jumps to @address; the kernel dies where it traps. */
void fall(unsigned long address);

#endif /* BPF_PACK_ATTACKER_JUMP_H */
