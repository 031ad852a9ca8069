/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where images are, and how these addresses are mapped: addresses come from
 * bpf_prog_info and kallsyms, page tables from the debugfs files of
 * bpf_pack_ptwalk.
 */
#ifndef BPF_PACK_PLACEMENT_H
#define BPF_PACK_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_SIZE (2UL << 20)
#define MAX_IMAGES 64

/* An image as the kernel shows it to root; @length is 0 if the kernel does not tell it. */
struct seen_image {
	uint64_t address;
	uint64_t length;
};

struct seen_images {
	size_t count;
	struct seen_image image[MAX_IMAGES];
};

/* The page-table leaf that maps an address. */
struct leaf {
	uint64_t span;	/* bytes that one TLB entry can map; 0: not mapped */
	char perm[8];	/* "r-x" and the like */
	char name[48];	/* "2 MiB block" and the like */
};

/* Adds the images of program @fd to @list; 0 or a negative errno. */
int images_of_program(int fd, struct seen_images *list);

/* Adds all trampolines that kallsyms shows; 0 or a negative errno. */
int images_of_trampolines(struct seen_images *list);

/* Adds to @fresh the members of @now that are not in @before. */
void images_new(const struct seen_images *before, const struct seen_images *now,
		struct seen_images *fresh);

/* True if leaf_of() can work: bpf_pack_ptwalk is loaded. */
bool leaf_available(void);

/* Walks the live page tables for @address; 0 or a negative errno. */
int leaf_of(uint64_t address, struct leaf *leaf);

#endif /* BPF_PACK_PLACEMENT_H */
