// SPDX-License-Identifier: GPL-2.0
/* Wrong calls: each gives an error, and no image or memory is lost. */
#include <linux/compiler.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "bpf_pack.h"
#include "client.h"
#include "client_image.h"

/* An image whose copy takes a while, and the number of times that it is made. */
#define LARGE SZ_4M
#define LARGE_ROUNDS 10

/* Data of this module, which is in no pack. */
static u32 foreign[64];

static bool bad_finalize(void)
{
	struct client_image image = { .allocated = 4096, .size = 4096, .value = 0xabcdef01 };
	void *source = image_source(SZ_8K, image.value), *rox;
	bool ok = true;

	image.rox = bpf_pack_alloc(image.allocated, 0);
	EXPECT(source && image.rox);
	if (!source || !image.rox)
		goto out;
	/* Sizes. */
	EXPECT(bpf_pack_finalize(image.rox, source, 0) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox, source, 4095) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox, source, 4096 + 64) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox, source, SZ_8K) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox, source, ~3U) == -EINVAL);
	/* Addresses inside the image. */
	EXPECT(bpf_pack_finalize(image.rox + 1, source, 64) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox + 4, source, 64) == -EINVAL);
	EXPECT(bpf_pack_finalize(image.rox + 64, source, 64) == -EINVAL);
	/* Addresses elsewhere. */
	EXPECT(bpf_pack_finalize(NULL, source, 64) == -EINVAL);
	EXPECT(bpf_pack_finalize(foreign, source, 64) == -EINVAL);
	EXPECT(bpf_pack_finalize(source, source, 64) == -EINVAL);
	EXPECT(bpf_pack_finalize((void *)bad_finalize, source, 64) == -EINVAL);
	/* These calls changed nothing. */
	EXPECT(traps(image.rox, image.allocated) == 0);
	EXPECT(bpf_pack_finalize(image.rox, source, image.size) == 0);
	EXPECT(image_intact(&image));
	rox = image.rox;
	EXPECT(image_free(&image));
	/* The address means nothing any more. */
	EXPECT(bpf_pack_finalize(rox, source, image.size) == -EINVAL);
out:
	kvfree(source);
	return ok;
}

static bool final_twice(void)
{
	struct client_image image;
	void *other = image_source(512, 2);
	bool ok = true;

	EXPECT(other);
	EXPECT(image_make(&image, 512, 1) == 0);
	if (other && image.rox) {
		EXPECT(bpf_pack_finalize(image.rox, other, 512) == -EBUSY);
		EXPECT(bpf_pack_finalize(image.rox, other, 64) == -EBUSY);
		EXPECT(image_intact(&image));
	}
	if (image.rox)
		EXPECT(image_free(&image));
	kvfree(other);
	return ok;
}

static bool unreadable_source(void)
{
	struct client_image image = { .allocated = SZ_8K };
	/* The last page of the address space, which holds error pointers. */
	const void *nowhere = (const void *)-PAGE_SIZE;
	bool ok = true;

	image.rox = bpf_pack_alloc(image.allocated, 0);
	EXPECT(image.rox);
	if (image.rox) {
		EXPECT(bpf_pack_finalize(image.rox, nowhere, SZ_4K) == -EFAULT);
		EXPECT(image_free(&image));
	}
	/* The copy that failed left no lock behind. */
	EXPECT(image_make(&image, SZ_8K, 5) == 0);
	if (image.rox) {
		EXPECT(image_intact(&image));
		EXPECT(image_free(&image));
	}
	return ok;
}

/* The copy fails after the first page, which must not stay. */
static bool half_readable_source(void)
{
	struct client_image image = { .allocated = 2 * PAGE_SIZE };
	/* A page that is not mapped follows. */
	void *source = vzalloc(PAGE_SIZE);
	bool ok = true;

	image.rox = bpf_pack_alloc(image.allocated, 0);
	EXPECT(source && image.rox);
	if (source && image.rox) {
		EXPECT(bpf_pack_finalize(image.rox, source, image.allocated) == -EFAULT);
		EXPECT(traps(image.rox, image.allocated) == 0);
	}
	if (image.rox)
		EXPECT(image_free(&image));
	vfree(source);
	return ok;
}

static bool bad_free(void)
{
	struct client_image image;
	bool ok = true;

	bpf_pack_free(NULL, 64);
	bpf_pack_free(foreign, sizeof(foreign));
	bpf_pack_free((void *)bad_free, 64);
	EXPECT(image_make(&image, 1024, 0x77777777) == 0);
	if (!image.rox)
		return false;
	bpf_pack_free(image.rox + 1, 1024);
	bpf_pack_free(image.rox + 4, 1024);
	bpf_pack_free(image.rox + 64, 64);
	EXPECT(image_intact(&image));
	EXPECT(image_free(&image));
	return ok;
}

static bool double_free(void)
{
	struct client_image before, image, after;
	void *rox;
	bool ok = true;

	EXPECT(image_make(&before, 1024, 1) == 0);
	EXPECT(image_make(&image, 1024, 2) == 0);
	EXPECT(image_make(&after, 1024, 3) == 0);
	rox = image.rox;
	if (rox) {
		EXPECT(image_free(&image));
		bpf_pack_free(rox, 1024);
		bpf_pack_free(rox, 1024);
		EXPECT(traps(rox, 1024) == 0);
	}
	/* The neighbours live, and the range was freed once, not three times. */
	EXPECT(!before.rox || image_intact(&before));
	EXPECT(!after.rox || image_intact(&after));
	EXPECT(image_make(&image, 1024, 4) == 0);
	EXPECT(!before.rox || image_intact(&before));
	EXPECT(!after.rox || image_intact(&after));
	EXPECT(!image.rox || image_free(&image));
	EXPECT(!before.rox || image_free(&before));
	EXPECT(!after.rox || image_free(&after));
	return ok;
}

/* A call of bpf_pack_finalize() on another CPU. */
struct finalizer {
	struct work_struct work;
	const struct client_image *image;
	const void *source;
	int err;
	bool done;
};

static void finalize_image(struct work_struct *work)
{
	struct finalizer *finalizer = container_of(work, struct finalizer, work);
	const struct client_image *image = finalizer->image;

	finalizer->err = bpf_pack_finalize(image->rox, finalizer->source, image->size);
	WRITE_ONCE(finalizer->done, true);
}

/*
 * Once the copy has begun, a second finalize is refused, during the copy and after it. A
 * free during the copy takes effect at the end of the copy, and the first finalize then
 * returns -EBUSY; a free after the copy is like any other. The second free is a wrong call
 * in both cases.
 */
static bool disturbed_finalize(struct client_image *image, const void *source, const void *other,
			       u32 *during)
{
	struct finalizer finalizer = { .image = image, .source = source };
	bool ok = true;
	int err;

	image->rox = bpf_pack_alloc(image->allocated, 0);
	EXPECT(image->rox);
	if (!image->rox)
		return false;
	INIT_WORK_ONSTACK(&finalizer.work, finalize_image);
	queue_work(system_dfl_wq, &finalizer.work);
	while (!READ_ONCE(finalizer.done) && traps(image->rox, 4) == 0)
		cond_resched();
	EXPECT(bpf_pack_finalize(image->rox, other, 64) == -EBUSY);
	bpf_pack_free(image->rox, image->allocated);
	bpf_pack_free(image->rox, image->allocated);
	flush_work(&finalizer.work);
	destroy_work_on_stack(&finalizer.work);
	EXPECT(finalizer.err == 0 || finalizer.err == -EBUSY);
	*during += finalizer.err == -EBUSY;
	err = traps(image->rox, image->size);
	EXPECT(err == 0 || err == -EFAULT);
	return ok;
}

static bool calls_during_finalize(void)
{
	struct client_image image = { .allocated = LARGE, .size = LARGE, .value = 0x600d600d };
	void *source = image_source(image.size, image.value), *other = image_source(64, 3);
	u32 round, during = 0;
	bool ok = true;

	EXPECT(source && other);
	for (round = 0; ok && source && other && round < LARGE_ROUNDS; round++)
		EXPECT(disturbed_finalize(&image, source, other, &during));
	/* The number depends on the machine. */
	report("# %u of %u frees came during the copy\n", during, round);
	kvfree(other);
	kvfree(source);
	return ok;
}

const struct client_case wrong_calls_cases[] = {
	{ "finalize refuses wrong sizes and addresses", bad_finalize },
	{ "an image is final once", final_twice },
	{ "freeing a wrong address changes nothing", bad_free },
	{ "a double free loses nothing", double_free },
	{ "a free during finalize takes effect when the copy ends", calls_during_finalize },
	{ }
};

/* The last cases: if the module reads the source unchecked, they end in an oops. */
const struct client_case bad_source_cases[] = {
	{ "a source that cannot be read is an error", unreadable_source },
	{ "nothing stays of a copy that failed half-way", half_readable_source },
	{ }
};
