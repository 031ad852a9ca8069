/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Plays a JIT without a compiler: images of given sizes, made and freed by direct
 * calls of an allocator.
 */
#ifndef BENCH_DIRECT_H
#define BENCH_DIRECT_H

#include <linux/types.h>

/*
 * struct allocator - an allocator, and the way to call it
 * @alloc: reserves memory for an image; NULL on failure
 * @finalize: copies @used bytes of the buffer @rw to the image; frees @rw and, if it
 *	      fails, the image
 * @free: frees an image for which @bytes were reserved
 */
struct allocator {
	const char *name;
	void *(*alloc)(u32 bytes);
	int (*finalize)(void *rox, void *rw, u32 used);
	void (*free)(void *rox, u32 bytes);
};

struct made_image {
	void *rox;
	u32 bytes;
};

/* allocator.c */
int allocators_find(void);
const struct allocator *allocator_get(const char *name);
void allocator_put(const struct allocator *allocator);
int pack_of(const void *rox, unsigned long *base);

/* made_images.c */
struct random {
	u64 state;
};

u32 random_below(struct random *random, u32 bound);
u32 mix_length(u32 index);
u32 mix_random(struct random *random);
u32 reserved_bytes(u32 length);
u32 used_bytes(u32 length);
void *image_buffer(u32 bytes, u32 used);
int make_image(const struct allocator *by, struct made_image *image, u32 bytes, u32 used);
void free_images(const struct allocator *by, struct made_image *images, u32 count);
struct made_image *alloc_images(u32 count);
int plug_packs(const struct allocator *by, struct made_image *plug);

/* call_costs.c */
void known_stretch(void);
int costs_alone(const struct allocator *by, const u32 *sizes, u32 count);
int costs_beside(const struct allocator *by, u32 live, const u32 *sizes, u32 count);

/* random_ops.c */
int random_ops(const struct allocator *by, u32 live, u32 count, u64 seed);

/* direct_main.c */
__printf(1, 2) void say(const char *format, ...);
unsigned int next_region(void);
int rest(unsigned int milliseconds);

#endif
