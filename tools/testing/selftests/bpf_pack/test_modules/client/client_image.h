/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The images of the tiny JIT: a function that returns a number, then words that
 * depend on that number and on their place, so that each wrong, missing or moved
 * byte shows.
 */
#ifndef BPF_PACK_CLIENT_IMAGE_H
#define BPF_PACK_CLIENT_IMAGE_H

#include <linux/types.h>

/* Bytes of the function alone, the smallest image. */
#define IMAGE_MIN 16

/**
 * struct client_image - an image in executable memory
 * @rox: its address
 * @allocated: bytes that were asked for
 * @size: bytes of the image, a multiple of 4; 0 if it was never final
 * @value: the number that its function returns
 */
struct client_image {
	void *rox;
	u32 allocated;
	u32 size;
	u32 value;
};

/* image_source - makes the image of @size bytes that returns @value; kvfree() it. */
void *image_source(u32 size, u32 value);

/* image_make - allocates @allocated bytes and finalizes the largest image in them. */
int image_make(struct client_image *image, u32 allocated, u32 value);

/* image_drop - frees the image. */
void image_drop(struct client_image *image);

/*
 * image_free - frees the image; true if its bytes trap at once. Others must not
 * allocate at the same time: they may get the memory and make it final before
 * image_free() looks at it.
 */
bool image_free(struct client_image *image);

/* image_intact - true if every byte is right and a call returns the value. */
bool image_intact(const struct client_image *image);

/* image_call - calls the function at @rox. */
u32 image_call(const void *rox);

/*
 * traps - 0 if each of the @size bytes at @rox is that of a BRK instruction,
 * -EFAULT if nothing is mapped there, -EILSEQ if something else is there.
 */
int traps(const void *rox, u32 size);

#endif /* BPF_PACK_CLIENT_IMAGE_H */
