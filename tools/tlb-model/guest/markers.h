/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The markers by which a guest talks to the TLB model. They are HINT
 * instructions: without the model, and on hardware, they do nothing.
 */
#ifndef TLB_MODEL_MARKERS_H
#define TLB_MODEL_MARKERS_H

#define tlb_hint(number, a, b, c)					\
	do {								\
		register unsigned long x0_ __asm__("x0") = (a);		\
		register unsigned long x1_ __asm__("x1") = (b);		\
		register unsigned long x2_ __asm__("x2") = (c);		\
		__asm__ volatile("hint #" #number			\
				 : : "r"(x0_), "r"(x1_), "r"(x2_)	\
				 : "memory");				\
	} while (0)

/* Starts region ID, on all CPUs; regions nest. */
#define tlb_region_start(id)		tlb_hint(0x70, id, 0, 0)
/* Stops the innermost region and prints its line. */
#define tlb_region_stop()		tlb_hint(0x71, 0, 0, 0)
/* Gives the bytes from LOW to HIGH - 1 a class: aux (SLOT 8 to 15) or bpf (0 to 7, 16 to 63). */
#define tlb_class_range(slot, low, high) tlb_hint(0x72, slot, low, high)
/* Empties the modelled TLBs of all CPUs. */
#define tlb_flush()			tlb_hint(0x73, 0, 0, 0)
/*
 * Begins to count, if the model was told to wait for this (begin=marker). It takes effect a little
 * later: sleep before the next marker.
 */
#define tlb_begin()			tlb_hint(0x74, 0, 0, 0)

#endif
