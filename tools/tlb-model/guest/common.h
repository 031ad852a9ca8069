/* SPDX-License-Identifier: GPL-2.0 */
/* What the guest programs share. */
#ifndef TLB_MODEL_COMMON_H
#define TLB_MODEL_COMMON_H

#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define PAGE 4096UL

typedef long (*code_fn)(void);

/* write_code - makes the instructions at @at: return @value. */
static inline void write_code(void *at, unsigned int value)
{
	uint32_t *insn = at;

	insn[0] = 0x52800000u | value << 5;	/* mov w0, #value */
	insn[1] = 0xd65f03c0u;			/* ret */
	__builtin___clear_cache((char *)at, (char *)(insn + 2));
}

/* number - parses an argument. */
static inline unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (end == text || *end)
		errx(2, "not a number: %s", text);
	return value;
}

/*
 * after_tick - returns right after a timer tick, so that no tick interrupts the next
 * instructions for the rest of the period. The coarse clock moves with the tick.
 */
static inline void after_tick(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	} while (now.tv_nsec == start.tv_nsec);
}

#endif
