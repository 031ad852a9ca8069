/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where an image is and how that address is mapped, as the kernel says it:
 * addresses from bpf_prog_info and kallsyms, page tables from the debugfs
 * files of bpf_pack_ptwalk, counters and packs from those of bpf_pack.
 */
#ifndef BPF_PACK_PLACEMENT_H
#define BPF_PACK_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_SIZE (2UL << 20)
#define MAX_IMAGES 64

/* One executable image; @length is 0 where the kernel does not tell it. */
struct image {
	uint64_t address;
	uint64_t length;
};

struct image_list {
	size_t count;
	struct image image[MAX_IMAGES];
};

/* The page-table leaf behind an address. */
struct leaf {
	uint64_t span;	/* bytes that one TLB entry can map; 0: not mapped */
	char perm[8];	/* "r-x" and the like */
	char name[48];	/* "2 MiB block" and the like */
};

/* Adds the images of program @fd to @list; 0 or a negative errno. */
int images_of_program(int fd, struct image_list *list);

/* Adds every trampoline image that kallsyms shows; 0 or a negative errno. */
int images_of_trampolines(struct image_list *list);

/* The members of @now that are not in @before. */
void images_new(const struct image_list *before, const struct image_list *now,
		struct image_list *fresh);

/* True where leaf_of() can work: bpf_pack_ptwalk is loaded. */
bool leaf_available(void);

/* Walks the live page tables for @address; 0 or a negative errno. */
int leaf_of(uint64_t address, struct leaf *leaf);

/*
 * The number after "KEY:" in bpf_pack's status file, or a negative errno;
 * -ENOENT where the module is not loaded or has no such line.
 */
long long status_value(const char *key);

/* True where @address is in one of the ranges that status lists. */
bool status_has_address(uint64_t address);

#endif /* BPF_PACK_PLACEMENT_H */
