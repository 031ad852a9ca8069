// SPDX-License-Identifier: GPL-2.0
/* Images, their sizes, and reproducible random numbers. */
#include <linux/align.h>
#include <linux/filter.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <asm/insn-def.h>

#include "direct.h"

#define CHUNK 64
#define NOP 0xd503201fU

/* The size mix of ../hot.c in jited bytes, with its short sizes as they are. */
static const u16 realistic[] = {
#include "../sizes.h"
};

/* SplitMix64, as in pack_core's Random: the model on the host draws the same numbers. */
static u64 random_next(struct random *random)
{
	u64 mixed = random->state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
	return mixed ^ mixed >> 31;
}

u32 random_below(struct random *random, u32 bound)
{
	return (random_next(random) >> 32) * bound >> 32;
}

u32 mix_length(u32 index)
{
	return realistic[index % ARRAY_SIZE(realistic)];
}

u32 mix_random(struct random *random)
{
	return mix_length(random_below(random, ARRAY_SIZE(realistic)));
}

/*
 * reserved_bytes - the bytes that the arm64 JIT reserves for @length jited bytes: 8 for
 * a header before them, 8 for the target of the PLT after them, and 16 of slack.
 */
u32 reserved_bytes(u32 length)
{
	return ALIGN(length + 32, CHUNK);
}

/*
 * used_bytes - the bytes of these that are written. The JIT leaves a random gap after
 * the header; here there is none.
 */
u32 used_bytes(u32 length)
{
	return length + 16;
}

/* image_buffer - makes a struct bpf_binary_header like the JIT's, with traps at its end. */
void *image_buffer(u32 bytes, u32 used)
{
	struct bpf_binary_header *header = kvmalloc(bytes, GFP_KERNEL);
	u32 *words = (u32 *)header;
	u32 i;

	if (!header)
		return NULL;
	for (i = 0; i < bytes / sizeof(*words); i++)
		words[i] = i < used / sizeof(*words) ? NOP : AARCH64_BREAK_FAULT;
	header->size = bytes;
	return header;
}

int make_image(const struct allocator *by, struct made_image *image, u32 bytes, u32 used)
{
	void *rw = image_buffer(bytes, used);
	int err;

	if (!rw)
		return -ENOMEM;
	image->bytes = bytes;
	image->rox = by->alloc(bytes);
	if (!image->rox) {
		kvfree(rw);
		return -ENOMEM;
	}
	err = by->finalize(image->rox, rw, used);
	if (err)
		image->rox = NULL;
	cond_resched();
	return err;
}

void free_images(const struct allocator *by, struct made_image *images, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		if (images[i].rox)
			by->free(images[i].rox, images[i].bytes);
		images[i].rox = NULL;
		cond_resched();
	}
}

struct made_image *alloc_images(u32 count)
{
	return kvcalloc(count, sizeof(struct made_image), GFP_KERNEL);
}

/*
 * plug_packs - takes all room that is left in the pack of the programs that the kernel
 * made at boot, so that the next image needs a new pack.
 */
int plug_packs(const struct allocator *by, struct made_image *plug)
{
	unsigned long base = 0;
	void *probe;
	int err;

	plug->rox = NULL;
	probe = by->alloc(CHUNK);
	if (!probe)
		return -ENOMEM;
	err = pack_of(probe, &base);
	by->free(probe, CHUNK);
	if (err || (unsigned long)probe == base)
		return err;
	plug->bytes = base + PMD_SIZE - (unsigned long)probe;
	plug->rox = by->alloc(plug->bytes);
	if (!plug->rox)
		return -ENOMEM;
	/* The plug is elsewhere: there are several packs, or holes between images. */
	if (plug->rox != probe) {
		by->free(plug->rox, plug->bytes);
		plug->rox = NULL;
		return -EBUSY;
	}
	return 0;
}
