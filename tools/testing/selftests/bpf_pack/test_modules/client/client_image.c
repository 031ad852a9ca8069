// SPDX-License-Identifier: GPL-2.0
#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/insn-def.h>

#include "bpf_pack.h"
#include "client_image.h"

/* The kernel's instruction encoder is not exported. */
#define INSN_BTI_C 0xd503245fU
#define INSN_MOVZ_W0(imm16) (0x52800000U | (u32)(imm16) << 5)
#define INSN_MOVK_W0_16(imm16) (0x72a00000U | (u32)(imm16) << 5)
#define INSN_RET 0xd65f03c0U

/* Bytes compared at a time. */
#define WINDOW 256

/* The word at @index of the image that returns @value. */
static __le32 image_word(u32 value, u32 index)
{
	switch (index) {
	case 0:
		return cpu_to_le32(INSN_BTI_C);
	case 1:
		return cpu_to_le32(INSN_MOVZ_W0(value & 0xffff));
	case 2:
		return cpu_to_le32(INSN_MOVK_W0_16(value >> 16));
	case 3:
		return cpu_to_le32(INSN_RET);
	default:
		return cpu_to_le32((value ^ index) * 0x9e3779b1U);
	}
}

static void fill_image(__le32 *words, u32 first, u32 count, u32 value)
{
	u32 i;

	for (i = 0; i < count; i++)
		words[i] = image_word(value, first + i);
}

void *image_source(u32 size, u32 value)
{
	__le32 *words = kvmalloc(size, GFP_KERNEL);

	if (words)
		fill_image(words, 0, size / sizeof(*words), value);
	return words;
}

int image_make(struct client_image *image, u32 allocated, u32 value)
{
	void *source;
	int err;

	image->allocated = allocated;
	image->size = ALIGN_DOWN(allocated, 4);
	image->value = value;
	image->rox = bpf_pack_alloc(allocated, 0);
	if (!image->rox)
		return -ENOMEM;
	source = image_source(image->size, value);
	err = source ? bpf_pack_finalize(image->rox, source, image->size) : -ENOMEM;
	kvfree(source);
	if (err) {
		bpf_pack_free(image->rox, allocated);
		image->rox = NULL;
	}
	return err;
}

void image_drop(struct client_image *image)
{
	bpf_pack_free(image->rox, image->allocated);
	image->rox = NULL;
}

bool image_free(struct client_image *image)
{
	const void *rox = image->rox;
	u32 kept = image->allocated;
	int err;

	/* Chunks that a final image did not need went to others long ago. */
	if (image->size)
		kept = min(kept, ALIGN(image->size, 64));
	image_drop(image);
	/* The memory may be unmapped by now, and then it traps as well. */
	err = traps(rox, kept);
	return err == 0 || err == -EFAULT;
}

/* No kCFI type identifier stands before an image. */
u32 __nocfi image_call(const void *rox)
{
	u32 (*function)(void) = (u32 (*)(void))rox;

	return function();
}

bool image_intact(const struct client_image *image)
{
	__le32 want[WINDOW / 4], got[WINDOW / 4];
	u32 done, part;

	for (done = 0; done < image->size; done += part) {
		part = min_t(u32, image->size - done, WINDOW);
		fill_image(want, done / 4, part / 4, image->value);
		if (copy_from_kernel_nofault(got, image->rox + done, part) ||
		    memcmp(want, got, part))
			return false;
	}
	return image_call(image->rox) == image->value;
}

int traps(const void *rox, u32 size)
{
	u8 got[WINDOW];
	u32 done, part, i;

	for (done = 0; done < size; done += part) {
		part = min_t(u32, size - done, WINDOW);
		if (copy_from_kernel_nofault(got, rox + done, part))
			return -EFAULT;
		for (i = 0; i < part; i++)
			if (got[i] != (u8)(AARCH64_BREAK_FAULT >> 8 * (i % 4)))
				return -EILSEQ;
	}
	return 0;
}
