// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and frees programs while LIVE others exist. Each load is a region; so is
 * a window of time without and with the frees, because the kernel frees later.
 * The kernel's background work changes slowly: a window without frees stands
 * before and after each one with them.
 *
 * Regions from ID on; one JSON line for each, in order. "ns"
 * are instructions where virtual time counts instructions; a window's are not,
 * because the clock jumps over idle time there.
 */
#include "program.h"

#define LOADS 4
/* Grace periods, and the module's and the kernel's own timers of one second. */
#define WINDOW 2500

static struct bpf_insn insns[MAX_INSNS];
static unsigned long id;

static void report(const char *what, unsigned int live, unsigned int bytes, unsigned int count,
		   unsigned long ns)
{
	printf("{\"line\":\"life\",\"region\":%lu,\"what\":\"%s\",\"live\":%u,\"bytes\":%u,"
	       "\"count\":%u,\"ns\":%lu}\n", id, what, live, bytes, count, ns);
	id++;
}

/* window - a region of WINDOW milliseconds that begins with closing @count programs. */
static void window(const char *what, unsigned int live, unsigned int bytes, const int *fds,
		   unsigned int count)
{
	unsigned int i;

	after_tick();
	tlb_region_start(id);
	for (i = 0; i < count; i++)
		close(fds[i]);
	rest(WINDOW);
	tlb_region_stop();
	report(what, live, bytes, count, 0);
}

/* timed_load - loads a program in a region. */
static int timed_load(const char *what, unsigned int n, unsigned int live, unsigned int bytes)
{
	unsigned long start, end;
	struct image image;
	int fd;

	after_tick();
	start = nanoseconds();
	tlb_region_start(id);
	fd = load(insns, n);
	tlb_region_stop();
	end = nanoseconds();
	image = inspect(fd);
	if (image.length != bytes)
		errx(1, "%u bytes, not %u", image.length, bytes);
	report(what, live, bytes, 1, end - start);
	return fd;
}

static void measure(int map, unsigned int base, unsigned int live, unsigned int bytes)
{
	unsigned int wide, narrow, n, i;
	int fds[LOADS];

	fillers(bytes, base, &wide, &narrow);
	n = assemble(insns, map, wide, narrow);
	for (i = 0; i < LOADS; i++)
		fds[i] = timed_load("load", n, live, bytes);
	/* What the loads left behind, such as freed buffers, is not the frees'. */
	rest(WINDOW);
	window("idle", live, bytes, NULL, 0);
	window("free", live, bytes, fds, 1);
	window("idle", live, bytes, NULL, 0);
	window("free", live, bytes, fds + 1, LOADS - 1);
	window("idle", live, bytes, NULL, 0);
}

int main(int argc, char **argv)
{
	unsigned int live, base, wide, narrow, n, i;
	int map;

	if (argc < 4)
		errx(2, "usage: life ID LIVE BYTES...");
	id = number(argv[1]);
	live = number(argv[2]);
	allow_files(live + 64);
	map = create_array(1);
	base = shortest(map);
	/* The others are as small as a program here can sensibly be. */
	fillers(256, base, &wide, &narrow);
	n = assemble(insns, map, wide, narrow);
	for (i = 0; i < live; i++)
		load(insns, n);
	/* Longer than the module keeps the empty pack of the program freed above. */
	rest(4 * WINDOW);
	/* Where nothing is live this makes a pack; it stays until the end. */
	timed_load("first", n, live, 256);
	for (i = 3; i < (unsigned int)argc; i++)
		measure(map, base, live, number(argv[i]));
	return 0;
}
