// SPDX-License-Identifier: GPL-2.0
/*
 * Two pages of code take turns at one address, in 200 rounds of two swaps: a TLB that
 * keeps the old translation after the TLBI calls the wrong page.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "common.h"
#include "markers.h"

#define ROUNDS 200

static void move(char *from, char *to)
{
	if (mremap(from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		err(1, "mremap");
}

int main(int argc, char **argv)
{
	unsigned long id = argc == 2 ? number(argv[1]) : 0;
	char *area, *stage, *park[2];
	int round, which;

	if (argc != 2)
		errx(2, "usage: remap ID");
	/* Every second page stays unmapped, so that no two are neighbours. */
	area = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		err(1, "mmap");
	stage = area + PAGE;
	park[0] = area + 3 * PAGE;
	park[1] = area + 5 * PAGE;
	for (which = 0; which < 2; which++)
		write_code(park[which], which + 1);
	if (munmap(stage, PAGE))
		err(1, "munmap");

	after_tick();
	tlb_region_start(id);
	for (round = 0; round < ROUNDS; round++) {
		for (which = 0; which < 2; which++) {
			move(park[which], stage);
			if (((code_fn)stage)() != which + 1)
				errx(1, "round %d: the other page's code ran", round);
			move(stage, park[which]);
		}
	}
	tlb_region_stop();
	printf("remap %lu: %d rounds\n", id, ROUNDS);
	return 0;
}
