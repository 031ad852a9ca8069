// SPDX-License-Identifier: GPL-2.0
/*
 * Calls a `ret` on each of N pages in a circle: the simplest work for an
 * instruction TLB. Region ID + 100 is the first round with an empty model,
 * region ID the rounds after it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common.h"
#include "markers.h"

#define HUGE (2UL << 20)

/* On a page of its own, with nothing else to fetch between the markers. */
static __attribute__((noinline, aligned(4096)))
void rounds(char *base, unsigned long pages, unsigned long count,
	    unsigned long id, int flush, int flush_first)
{
	unsigned long round, i;

	if (flush_first)
		tlb_flush();
	tlb_region_start(id);
	for (round = 0; round < count; round++) {
		if (flush)
			tlb_flush();
		for (i = 0; i < pages; i++)
			((void (*)(void))(base + i * PAGE + i * 64 % PAGE))();
	}
	tlb_region_stop();
}

int main(int argc, char **argv)
{
	unsigned long id, pages, count, i, length;
	int huge, flush;
	char *area, *base;

	if (argc < 4)
		errx(2, "usage: pages ID PAGES ROUNDS [thp] [flush]");
	id = number(argv[1]);
	pages = number(argv[2]);
	count = number(argv[3]);
	huge = argc > 4 && !strcmp(argv[4], "thp");
	flush = argc > 4 && !strcmp(argv[argc - 1], "flush");

	length = (pages * PAGE + HUGE - 1) / HUGE * HUGE;
	area = mmap(NULL, length + HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		err(1, "mmap");
	base = (char *)(((unsigned long)area + HUGE - 1) / HUGE * HUGE);
	if (madvise(base, length, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	for (i = 0; i < length / PAGE; i++) {
		uint32_t *insn = (void *)(base + i * PAGE + i * 64 % PAGE);

		*insn = 0xd65f03c0u;	/* ret */
	}
	__builtin___clear_cache(base, base + length);
	if (mprotect(base, length, PROT_READ | PROT_EXEC))
		err(1, "mprotect");

	after_tick();
	rounds(base, pages, 1, id + 100, 0, 1);
	rounds(base, pages, count, id, flush, 0);
	printf("pages %lu: %lu pages, %lu rounds\n", id, pages, count);
	return 0;
}
