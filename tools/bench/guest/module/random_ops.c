// SPDX-License-Identifier: GPL-2.0
/*
 * Does random allocations and frees of the size mix, and prints a digest of the places
 * of all images. A model on the host does the same operations (pack_core's benchmark
 * `fragmentation`): every image must be at the same place in both.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "direct.h"

#define MAX_PACKS 64
#define CHUNK_SHIFT 6
/* Longer than the module keeps an empty pack. */
#define SETTLE 10000

/* mix - FNV-1a, one number at a time. */
static u64 mix(u64 digest, u64 number)
{
	return (digest ^ number) * 0x100000001b3ULL;
}

/* locate - makes the digest of all places; packs are numbered as images name them. */
static int locate(const struct made_image *images, u32 count, u32 *packs, u64 *digest)
{
	unsigned long bases[MAX_PACKS], base = 0;
	u32 i, pack;
	int err;

	*packs = 0;
	*digest = 0xcbf29ce484222325ULL;
	for (i = 0; i < count; i++) {
		err = pack_of(images[i].rox, &base);
		if (err)
			return err;
		for (pack = 0; pack < *packs && bases[pack] != base; pack++)
			;
		if (pack == MAX_PACKS)
			return -E2BIG;
		if (pack == *packs)
			bases[(*packs)++] = base;
		*digest = mix(*digest, pack);
		*digest = mix(*digest, ((unsigned long)images[i].rox - base) >> CHUNK_SHIFT);
	}
	return 0;
}

static void nothing(struct work_struct *work)
{
}

static DECLARE_WORK(last, nothing);

/*
 * await_background - returns when the work that the module has queued is done: the rest of
 * the memory that a load makes free. The model knows no background. The work of a CPU
 * begins in order, and nothing that this work waits for is held.
 */
static void await_background(void)
{
	queue_work(system_freezable_wq, &last);
	flush_work(&last);
}

static int make(const struct allocator *by, struct made_image *image, struct random *random)
{
	u32 length = mix_random(random);
	int err;

	err = make_image(by, image, reserved_bytes(length), used_bytes(length));
	await_background();
	return err;
}

int random_ops(const struct allocator *by, u32 live, u32 count, u64 seed)
{
	struct random random = { seed };
	struct made_image *images = alloc_images(2 * live + 1);
	unsigned long start;
	struct made_image plug;
	u32 n, i, at, packs;
	u64 digest;
	int err;

	if (!images)
		return -ENOMEM;
	err = plug_packs(by, &plug);
	if (err)
		goto out;
	err = rest(SETTLE);
	start = jiffies;
	for (n = 0; n < live && !err; n++)
		err = make(by, &images[n], &random);
	for (i = 0; i < count && !err; i++) {
		/* Never more than 2 * live images. */
		if (random_below(&random, 2 * live) >= n) {
			err = make(by, &images[n++], &random);
		} else {
			at = random_below(&random, n);
			free_images(by, &images[at], 1);
			images[at] = images[--n];
			images[n].rox = NULL;
		}
	}
	start = jiffies - start;
	if (!err)
		err = locate(images, n, &packs, &digest);
	if (!err) {
		say("{\"line\":\"random\",\"via\":\"%s\",\"live\":%u,", by->name, live);
		say("\"operations\":%u,\"seed\":%llu,\"images\":%u,", count, seed, n);
		say("\"packs\":%u,\"digest\":\"%016llx\",", packs, digest);
		say("\"milliseconds\":%u}\n", jiffies_to_msecs(start));
	}
	free_images(by, images, 2 * live + 1);
	free_images(by, &plug, 1);
	if (!err)
		err = rest(SETTLE);
out:
	kvfree(images);
	return err;
}
