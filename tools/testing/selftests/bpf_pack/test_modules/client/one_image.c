// SPDX-License-Identifier: GPL-2.0
/* The life of one image: reserved, live, freed. */
#include <linux/align.h>
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "bpf_pack.h"
#include "client.h"
#include "client_image.h"

/* Sizes around a chunk and a page, a whole pack, and more than a pack. */
static const u32 sizes[] = {
	1, 63, 64, 65, 4095, 4096, 4097, SZ_64K, SZ_2M - 64, SZ_2M, 3 * SZ_1M,
};

/* The whole life of an image in @allocated bytes. */
static bool life_of(u32 allocated)
{
	u32 value = 0xb0000000 | allocated;
	struct client_image image = { .allocated = allocated, .size = ALIGN_DOWN(allocated, 4),
			       .value = value };
	bool ok = true;
	void *source;

	image.rox = bpf_pack_alloc(allocated, 0);
	EXPECT(image.rox);
	if (!image.rox)
		return false;
	EXPECT(IS_ALIGNED((unsigned long)image.rox, 64));
	EXPECT(traps(image.rox, allocated) == 0);

	source = image_source(ALIGN(allocated, 4), value);
	EXPECT(source);
	if (source && allocated % 4)
		EXPECT(bpf_pack_finalize(image.rox, source, allocated) == -EINVAL);
	/* A refused call changes nothing. */
	EXPECT(traps(image.rox, allocated) == 0);
	if (source && image.size >= IMAGE_MIN) {
		EXPECT(bpf_pack_finalize(image.rox, source, image.size) == 0);
		EXPECT(image_intact(&image));
		/* The last bytes, fewer than 4, are not part of the image. */
		EXPECT(traps(image.rox + image.size, allocated - image.size) == 0);
	}
	kvfree(source);
	EXPECT(image_free(&image));
	if (!ok)
		report("# at size %u\n", allocated);
	return ok;
}

static bool life_at_each_size(void)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT(life_of(sizes[i]));
	return ok;
}

static bool sizes_that_cannot_be(void)
{
	bool ok = true;

	EXPECT(!bpf_pack_alloc(0, 0));
	EXPECT(!bpf_pack_alloc(SZ_64M + 1, 0));
	EXPECT(!bpf_pack_alloc(U32_MAX, 0));
	EXPECT(!bpf_pack_alloc(64, 1));
	EXPECT(!bpf_pack_alloc(64, U32_MAX));
	return ok;
}

/* The bytes after a shorter image trap. */
static bool shorter_than_allocated(void)
{
	struct client_image image = { .allocated = 1024, .size = 100, .value = 0x1234 };
	void *source = image_source(image.size, image.value);
	bool ok = true;

	image.rox = bpf_pack_alloc(image.allocated, 0);
	EXPECT(source && image.rox);
	if (source && image.rox) {
		EXPECT(bpf_pack_finalize(image.rox, source, image.size) == 0);
		EXPECT(image_intact(&image));
		EXPECT(traps(image.rox + image.size, ALIGN(image.size, 64) - image.size) == 0);
		EXPECT(image_free(&image));
	}
	kvfree(source);
	return ok;
}

static bool freed_before_final(void)
{
	bool ok = true;
	int i;

	for (i = 0; i < 100; i++) {
		struct client_image image = { .allocated = 64 + 40 * i };

		image.rox = bpf_pack_alloc(image.allocated, 0);
		EXPECT(image.rox);
		EXPECT(image.rox && image_free(&image));
	}
	return ok;
}

/* A small image in the rest of the region would keep all of it when the large one goes. */
static bool large_one_alone(void)
{
	struct client_image large = { .allocated = 3 * SZ_1M };
	void *region_end, *small[8];
	bool ok = true;
	size_t i;

	large.rox = bpf_pack_alloc(large.allocated, 0);
	EXPECT(large.rox);
	if (!large.rox)
		return false;
	region_end = PTR_ALIGN(large.rox + large.allocated, SZ_2M);
	for (i = 0; i < ARRAY_SIZE(small); i++) {
		/* The packs soon have no room for these. */
		small[i] = bpf_pack_alloc(SZ_1M - 64 * i, 0);
		EXPECT(small[i]);
		EXPECT(small[i] < large.rox || small[i] >= region_end);
	}
	for (i = 0; i < ARRAY_SIZE(small); i++)
		bpf_pack_free(small[i], SZ_1M - 64 * i);
	EXPECT(image_free(&large));
	return ok;
}

static void call_on_this_cpu(void *data)
{
	struct client_image *image = data;

	/* The value stays until one CPU saw another one; then it is 0. */
	if (image_call(image->rox) != image->value)
		image->value = 0;
}

/* New code at addresses at which every CPU has executed other code. */
static bool seen_by_every_cpu(void)
{
	bool ok = true;
	u32 round;
	int cpu;

	for (round = 1; round <= 100; round++) {
		struct client_image image;

		EXPECT(image_make(&image, 256, round) == 0);
		if (!image.rox)
			break;
		for_each_online_cpu(cpu)
			smp_call_function_single(cpu, call_on_this_cpu, &image, 1);
		EXPECT(image.value == round);
		EXPECT(image_free(&image));
	}
	return ok;
}

const struct client_case one_image_cases[] = {
	{ "an image of each size lives and traps after its end", life_at_each_size },
	{ "sizes and flags that cannot be are refused", sizes_that_cannot_be },
	{ "an image may be shorter than its allocation", shorter_than_allocated },
	{ "an image may be freed before it is final", freed_before_final },
	{ "a large image has its region to itself", large_one_alone },
	{ "every CPU executes new code at used addresses", seen_by_every_cpu },
	{ }
};
