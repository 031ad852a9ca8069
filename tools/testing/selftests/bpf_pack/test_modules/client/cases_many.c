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
#include "image.h"

/* Enough for two packs and more at the mean size of 1 KiB. */
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

/* A size from 16 bytes to 2 KiB, any multiple of 1. */
static u32 random_size(u32 *state)
{
	return IMAGE_MIN + next_random(state) % (SZ_2K - IMAGE_MIN + 1);
}

static bool many_images(void)
{
	struct image *images = kvcalloc(MANY, sizeof(*images), GFP_KERNEL);
	u32 state = 0x2545f491, bad = 0, i, k;
	bool ok = true;

	EXPECT(images);
	if (!images)
		return false;
	for (i = 0; i < MANY; i++)
		if (image_make(&images[i], random_size(&state), 0x10000 + i))
			bad++;
	EXPECT(bad == 0);
	/* An overlap would have damaged the earlier one. */
	for (i = 0; i < MANY; i++)
		if (images[i].rox && !image_intact(&images[i]))
			bad++;
	EXPECT(bad == 0);
	/* Every third goes, and others take their places. */
	for (k = 0; k < 3; k++) {
		for (i = k; i < MANY; i += 3)
			if (images[i].rox && !image_free(&images[i]))
				bad++;
		EXPECT(bad == 0);
		for (i = k; i < MANY; i += 3)
			if (image_make(&images[i], random_size(&state), 0x20000 * (k + 1) + i))
				bad++;
		EXPECT(bad == 0);
		for (i = 0; i < MANY; i++)
			if (images[i].rox && !image_intact(&images[i]))
				bad++;
		EXPECT(bad == 0);
		cond_resched();
	}
	for (i = 0; i < MANY; i++)
		if (images[i].rox && !image_free(&images[i]))
			bad++;
	EXPECT(bad == 0);
	kvfree(images);
	return ok;
}

/* After all that, whole packs can still be had. */
static bool whole_packs(void)
{
	struct image images[4];
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
	struct image kept[KEPT] = { };
	u32 state = worker->seed, round, i;
	bool ok = true;

	for (round = 0; ok && round < client_rounds; round++) {
		struct image *image = &kept[next_random(&state) % KEPT];

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
	/* The module's text must outlive the thread: it ends when told. */
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

const struct client_case client_many_cases[] = {
	{ "many images live side by side", many_images },
	{ "threads on all CPUs do not disturb each other", concurrent_threads },
	{ "whole packs can be had afterwards", whole_packs },
	{ }
};
