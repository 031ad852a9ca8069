// SPDX-License-Identifier: GPL-2.0
/* Large images: of more than 64 KiB, of more than a pack, and the largest. */
#include "cases.h"
#include "generate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void straight_line(struct run *run, size_t count, __u64 least)
{
	struct seen_images list = {};
	__u32 want, got;
	int fd, err;

	fd = load_straight_line(count, &want);
	if (fd < 0) {
		run_fail(run, "load %zu instructions: %s", count, strerror(-fd));
		return;
	}
	got = run_filter(fd, &err);
	if (err)
		run_fail(run, "run: %s", strerror(-err));
	run_expect(run, "result", got, want);
	if (images_of_program(fd, &list) || list.image[0].length <= least)
		run_fail(run, "the image has only %llu bytes",
			 (unsigned long long)list.image[0].length);
	else
		printf("# %zu instructions, jited to %llu bytes\n", count,
		       (unsigned long long)list.image[0].length);
	run_place_fd(run, fd);
	close(fd);
}

static void over_64k(struct run *run)
{
	straight_line(run, 8000, 64 << 10);
}

static void over_2m(struct run *run)
{
	straight_line(run, 176000, 2 << 20);
}

static void largest(struct run *run)
{
	straight_line(run, MAX_INSNS, 8 << 20);
}

const struct test_case cases_big[] = {
	{ "over_64_KiB", over_64k },
	{ "over_2_MiB", over_2m },
	{ "largest", largest, .on_request = true },
	{},
};
