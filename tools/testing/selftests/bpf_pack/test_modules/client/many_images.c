// SPDX-License-Identifier: GPL-2.0
/* Many images at a time, in one task and in many. */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "bpf_pack.h"
#include "client.h"
#include "client_image.h"

/* These fill more than two packs: the mean size is 1 KiB. */
#define MANY 5000
/* Images that a thread keeps at a time. */
#define KEPT 16

/* A pseudo-random number after @state (xorshift32). */
static u32 next_random(u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* A size from 16 bytes to 2 KiB, not always a multiple of 4. */
static u32 random_size(u32 *state)
{
	return IMAGE_MIN + next_random(state) % (SZ_2K - IMAGE_MIN + 1);
}

/* Makes the images @first, @first + @step and so on; returns the number that failed. */
static u32 make_some(struct client_image *images, u32 first, u32 step, u32 value, u32 *state)
{
	u32 bad = 0, i;

	for (i = first; i < MANY; i += step)
		bad += image_make(&images[i], random_size(state), value + i) != 0;
	return bad;
}

/* Frees these images; returns the number of those that did not trap. */
static u32 free_some(struct client_image *images, u32 first, u32 step)
{
	u32 bad = 0, i;

	for (i = first; i < MANY; i += step)
		bad += images[i].rox && !image_free(&images[i]);
	return bad;
}

/* The number of damaged images. */
static u32 damaged(const struct client_image *images)
{
	u32 bad = 0, i;

	for (i = 0; i < MANY; i++)
		bad += images[i].rox && !image_intact(&images[i]);
	return bad;
}

static bool many_images(void)
{
	struct client_image *images = kvcalloc(MANY, sizeof(*images), GFP_KERNEL);
	u32 state = 0x2545f491, k;
	bool ok = true;

	EXPECT(images);
	if (!images)
		return false;
	EXPECT(make_some(images, 0, 1, 0x10000, &state) == 0);
	/* If two overlap, the later one has damaged the earlier one. */
	EXPECT(damaged(images) == 0);
	for (k = 0; k < 3; k++) {
		EXPECT(free_some(images, k, 3) == 0);
		EXPECT(make_some(images, k, 3, 0x20000 * (k + 1), &state) == 0);
		EXPECT(damaged(images) == 0);
		cond_resched();
	}
	EXPECT(free_some(images, 0, 1) == 0);
	kvfree(images);
	return ok;
}

/* The module can still make images of a whole pack. */
static bool whole_packs(void)
{
	struct client_image images[4];
	bool ok = true;
	int i;

	for (i = 0; i < ARRAY_SIZE(images); i++)
		EXPECT(image_make(&images[i], SZ_2M, 0x300 + i) == 0);
	for (i = 0; i < ARRAY_SIZE(images); i++)
		EXPECT(!images[i].rox || image_intact(&images[i]));
	for (i = 0; i < ARRAY_SIZE(images); i++)
		EXPECT(!images[i].rox || image_free(&images[i]));
	return ok;
}

struct worker {
	struct task_struct *task;
	struct completion done;
	u32 seed;
	u32 images;
	bool ok;
};

static bool work(struct worker *worker)
{
	struct client_image kept[KEPT] = { };
	u32 state = worker->seed, round, i;
	bool ok = true;

	for (round = 0; ok && round < client_rounds; round++) {
		struct client_image *image = &kept[next_random(&state) % KEPT];

		if (image->rox) {
			EXPECT(image_intact(image));
			image_drop(image);
		}
		/* The seed differs in the upper half: no two images return the same. */
		EXPECT(image_make(image, random_size(&state), worker->seed ^ round) == 0);
		if (!image->rox)
			break;
		EXPECT(image_call(image->rox) == image->value);
		worker->images++;
		cond_resched();
	}
	for (i = 0; i < KEPT; i++) {
		if (!kept[i].rox)
			continue;
		EXPECT(image_intact(&kept[i]));
		image_drop(&kept[i]);
	}
	return ok;
}

static int worker_thread(void *data)
{
	struct worker *worker = data;

	worker->ok = work(worker);
	complete(&worker->done);
	/* The thread must not end later than rmmod: it ends when it is told to. */
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 0;
}

static bool concurrent_threads(void)
{
	struct worker *workers = kcalloc(nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	bool ok = true;
	u32 images = 0;
	int cpu;

	EXPECT(workers);
	if (!workers)
		return false;
	for_each_online_cpu(cpu) {
		struct worker *worker = &workers[cpu];

		init_completion(&worker->done);
		worker->seed = (cpu + 1) << 20;
		worker->task = kthread_run_on_cpu(worker_thread, worker, cpu, "bpf_pack_client/%u");
		EXPECT(!IS_ERR(worker->task));
	}
	for_each_possible_cpu(cpu) {
		struct worker *worker = &workers[cpu];

		if (IS_ERR_OR_NULL(worker->task))
			continue;
		wait_for_completion(&worker->done);
		kthread_stop(worker->task);
		EXPECT(worker->ok);
		EXPECT(worker->images == client_rounds);
		images += worker->images;
	}
	report("# %u images on %u CPUs\n", images, num_online_cpus());
	kfree(workers);
	return ok;
}

const struct client_case many_images_cases[] = {
	{ "many images live side by side", many_images },
	{ "threads on all CPUs do not disturb each other's images", concurrent_threads },
	{ "images of a whole pack can be made after all that", whole_packs },
	{ }
};
