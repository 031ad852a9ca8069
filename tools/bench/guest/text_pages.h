/* SPDX-License-Identifier: GPL-2.0 */
/* The pages of programs' text, and pages of user code that evict their TLB entries. */
#ifndef BENCH_TEXT_PAGES_H
#define BENCH_TEXT_PAGES_H

#include <sys/mman.h>

#include "program.h"

#define SWEEP 2000
/* Images that are further apart than this belong to two stretches of program memory. */
#define GAP (64 * 1024UL)
#define SLOTS 56
/* The model's numbers of these slots: those from 8 to 15 are of another class. */
#define SLOT(n) ((n) < 8 ? (n) : (n) + 8)

/* page_size - bytes of a base page of this kernel. */
static inline unsigned long page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline int by_address(const void *a, const void *b)
{
	const struct program *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/*
 * classify - sorts programs and tells the model the addresses of their images; returns
 * the number of stretches.
 */
static inline unsigned int classify(struct program *sorted, unsigned int live)
{
	static unsigned int before;
	unsigned int slot = 0, i;
	unsigned long low, high;

	qsort(sorted, live, sizeof(*sorted), by_address);
	low = sorted[0].address;
	high = low;
	for (i = 0; i <= live; i++) {
		if (i < live && sorted[i].address < high + GAP) {
			high = sorted[i].address + sorted[i].length;
			continue;
		}
		if (slot == SLOTS)
			errx(1, "images in more than %u places", SLOTS);
		tlb_class_range(SLOT(slot), low, high);
		slot++;
		if (i < live) {
			low = sorted[i].address;
			high = low + sorted[i].length;
		}
	}
	for (i = slot; i < before; i++)
		tlb_class_range(SLOT(i), 0, 0);
	before = slot;
	return slot;
}

/* pages - sorts programs and returns the number of distinct base pages of their images. */
static inline unsigned int pages(struct program *sorted, unsigned int count)
{
	unsigned long page = page_size(), next = 0;
	unsigned int total = 0, i;

	qsort(sorted, count, sizeof(*sorted), by_address);
	for (i = 0; i < count; i++) {
		unsigned long first = sorted[i].address / page;
		unsigned long last = (sorted[i].address + sorted[i].length - 1) / page;

		if (first < next)
			first = next;
		if (last >= first) {
			total += last - first + 1;
			next = last + 1;
		}
	}
	return total;
}

/* sweep_code - makes SWEEP pages of code, with one function on each. */
static inline unsigned char *sweep_code(void)
{
	unsigned long page = page_size();
	unsigned char *code = mmap(NULL, SWEEP * page, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (code == MAP_FAILED)
		err(1, "mmap");
	/* Each page must need an entry of its own. */
	madvise(code, SWEEP * page, MADV_NOHUGEPAGE);
	for (i = 0; i < SWEEP; i++)
		write_code(code + i * page + i * 64 % page, 1);
	return code;
}

/* sweep - calls into @count pages of user code. */
static inline void sweep(unsigned int count)
{
	unsigned long page = page_size();
	static unsigned char *code;
	unsigned int i;

	if (!code)
		code = sweep_code();
	for (i = 0; i < count; i++)
		((code_fn)(code + i * page + i * 64 % page))();
}

#endif
