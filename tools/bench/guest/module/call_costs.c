// SPDX-License-Identifier: GPL-2.0
/*
 * Measures the cost of allocating, finalizing and freeing one image beside LIVE others:
 * after those were made in order (fresh), and after a random half of them was freed and
 * made again in other sizes (churn). Each call is a region of the TLB model that
 * begins right after a timer tick.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "direct.h"
#include "markers.h"

#define REPEATS 4
#define BATCH 1000
#define BATCH_BYTES 256
/* WINDOW is longer than the module's timer, SETTLE than it keeps an empty pack. */
#define WINDOW 2500
#define SETTLE 10000
#define SEED 1
#define MASKED_ROUNDS 1000

struct scenario {
	const struct allocator *by;
	const char *state;
	u32 live;
};

/* Counts of events that must not fall into a region. */
struct disturbance {
	unsigned long ticks, switches;
};

static struct disturbance so_far(void)
{
	return (struct disturbance) {
		.ticks = jiffies,
		.switches = current->nvcsw + current->nivcsw,
	};
}

/*
 * after_tick - returns right after a timer tick. The tasks that the tick before woke
 * have run by then.
 */
static void after_tick(void)
{
	unsigned long start;

	usleep_range(1000, 2000);
	start = jiffies;
	/* Not cpu_relax(): that makes an emulator leave its loop. */
	while (time_before_eq(jiffies, start))
		barrier();
}

static void report(const struct scenario *scenario, unsigned int region, const char *what,
		   u32 bytes, u32 count, const struct disturbance *before)
{
	struct disturbance now = so_far();

	say("{\"line\":\"direct\",\"region\":%u,\"via\":\"%s\",", region, scenario->by->name);
	say("\"live\":%u,\"state\":\"%s\",", scenario->live, scenario->state);
	say("\"what\":\"%s\",\"bytes\":%u,\"count\":%u,\"ticks\":%lu,\"switches\":%lu}\n", what,
	    bytes, count, now.ticks - before->ticks, now.switches - before->switches);
}

static void *timed_alloc(const struct scenario *scenario, const char *what, u32 bytes)
{
	unsigned int region = next_region();
	struct disturbance before;
	void *rox;

	after_tick();
	before = so_far();
	tlb_region_start(region);
	rox = scenario->by->alloc(bytes);
	tlb_region_stop();
	report(scenario, region, what, bytes, 1, &before);
	return rox;
}

static int timed_finalize(const struct scenario *scenario, void *rox, void *rw, u32 bytes)
{
	unsigned int region = next_region();
	struct disturbance before;
	int err;

	after_tick();
	before = so_far();
	tlb_region_start(region);
	err = scenario->by->finalize(rox, rw, bytes);
	tlb_region_stop();
	report(scenario, region, "finalize", bytes, 1, &before);
	return err;
}

static void timed_free(const struct scenario *scenario, const char *what, void *rox, u32 bytes)
{
	unsigned int region = next_region();
	struct disturbance before;

	after_tick();
	before = so_far();
	tlb_region_start(region);
	scenario->by->free(rox, bytes);
	tlb_region_stop();
	report(scenario, region, what, bytes, 1, &before);
}

static int one_life(const struct scenario *scenario, u32 bytes)
{
	void *rw = image_buffer(bytes, bytes);
	void *rox;
	int err;

	if (!rw)
		return -ENOMEM;
	rox = timed_alloc(scenario, "alloc", bytes);
	if (!rox) {
		kvfree(rw);
		return -ENOMEM;
	}
	err = timed_finalize(scenario, rox, rw, bytes);
	if (!err)
		timed_free(scenario, "free", rox, bytes);
	return err;
}

/* pack_life - measures an image that needs a new pack, as no pack has room. */
static int pack_life(const struct scenario *scenario)
{
	struct made_image plug;
	void *rox;
	int err = plug_packs(scenario->by, &plug);

	if (err)
		return err;
	err = rest(SETTLE);
	if (!err) {
		rox = timed_alloc(scenario, "first alloc", BATCH_BYTES);
		if (rox)
			timed_free(scenario, "last free", rox, BATCH_BYTES);
		else
			err = -ENOMEM;
	}
	free_images(scenario->by, &plug, 1);
	return err ?: rest(SETTLE);
}

static int window(const struct scenario *scenario, const char *what, struct made_image *images,
		  u32 count)
{
	unsigned int outer = next_region(), inner = next_region();
	struct disturbance before;
	int err;

	after_tick();
	before = so_far();
	tlb_region_start(outer);
	tlb_region_start(inner);
	free_images(scenario->by, images, count);
	tlb_region_stop();
	err = rest(WINDOW);
	tlb_region_stop();
	report(scenario, outer, what, BATCH_BYTES, count, &before);
	if (count)
		report(scenario, inner, "calls", BATCH_BYTES, count, &before);
	return err;
}

/*
 * batch - measures the whole cost of freeing many images, with the work done later. The
 * kernel's background work is measured in windows before and after it.
 */
static int batch(const struct scenario *scenario)
{
	struct made_image *images = alloc_images(BATCH);
	int err = images ? 0 : -ENOMEM;
	u32 i;

	for (i = 0; i < BATCH && !err; i++)
		err = make_image(scenario->by, &images[i], BATCH_BYTES, BATCH_BYTES);
	if (!err)
		err = rest(WINDOW);
	if (!err)
		err = window(scenario, "idle", images, 0);
	if (!err)
		err = window(scenario, "batch", images, BATCH);
	if (!err)
		err = window(scenario, "idle", images, 0);
	if (images)
		free_images(scenario->by, images, BATCH);
	kvfree(images);
	return err;
}

static int measure(const struct scenario *scenario, const u32 *sizes, u32 count)
{
	struct made_image image;
	int err = 0;
	u32 i, j;

	for (i = 0; i < count && !err; i++) {
		/* With nothing live this makes a pack, which the allocator keeps for a while. */
		err = make_image(scenario->by, &image, sizes[i], sizes[i]);
		if (!err) {
			free_images(scenario->by, &image, 1);
			err = rest(WINDOW);
		}
		for (j = 0; j < REPEATS && !err; j++)
			err = one_life(scenario, sizes[i]);
	}
	return err;
}

/* churn - frees a random half of the images and makes as many of random sizes. */
static int churn(const struct allocator *by, struct made_image *images, u32 live)
{
	struct random random = { SEED };
	u32 i, j, length;
	int err = 0;

	/* Half a shuffle: it moves a random half of the images to the front. */
	for (i = 0; i < live / 2; i++) {
		j = i + random_below(&random, live - i);
		swap(images[i], images[j]);
	}
	free_images(by, images, live / 2);
	for (i = 0; i < live / 2 && !err; i++) {
		length = mix_random(&random);
		err = make_image(by, &images[i], reserved_bytes(length), used_bytes(length));
	}
	return err;
}

/* known_stretch - a stretch of known length with interrupts off, to check the model. */
void known_stretch(void)
{
	unsigned long count = MASKED_ROUNDS, flags;
	unsigned int region = next_region();

	tlb_region_start(region);
	asm volatile("mrs	%0, daif\n"
		     "msr	daifset, #3\n"
		     "1:	subs	%1, %1, #1\n"
		     "b.ne	1b\n"
		     "msr	daif, %0"
		     : "=&r"(flags), "+r"(count) : : "memory", "cc");
	tlb_region_stop();
	say("{\"line\":\"masked\",\"region\":%u,\"instructions\":%u}\n", region,
	    2 * MASKED_ROUNDS + 1);
}

/* costs_alone - measures the calls with nothing live. */
int costs_alone(const struct allocator *by, const u32 *sizes, u32 count)
{
	struct scenario scenario = { .by = by, .state = "fresh" };

	return measure(&scenario, sizes, count);
}

/* costs_beside - measures the calls beside @live images, and batches of frees. */
int costs_beside(const struct allocator *by, u32 live, const u32 *sizes, u32 count)
{
	struct scenario scenario = { .by = by, .state = "fresh", .live = live };
	struct made_image *images = alloc_images(live + 1);
	u32 i, length;
	int err = images ? 0 : -ENOMEM;

	if (!err && !live)
		err = pack_life(&scenario);
	for (i = 0; i < live && !err; i++) {
		length = mix_length(i);
		err = make_image(by, &images[i], reserved_bytes(length), used_bytes(length));
	}
	if (!err)
		err = measure(&scenario, sizes, count);
	if (!err)
		err = batch(&scenario);
	if (!err && live) {
		scenario.state = "churn";
		err = churn(by, images, live);
		if (!err)
			err = measure(&scenario, sizes, count);
	}
	if (images)
		free_images(by, images, live);
	kvfree(images);
	return err ?: rest(SETTLE);
}
