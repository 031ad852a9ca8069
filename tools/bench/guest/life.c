// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and frees programs while LIVE others exist. Each load is a region; so is
 * a window of time without and with the frees, because the kernel frees later.
 *
 * Regions from ID on, four more than SIZES * LOADS; one JSON line for each. "ns"
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

static void measure(int map, unsigned int base, unsigned int live, unsigned int bytes)
{
	unsigned int wide, narrow, n, i;
	unsigned long start, end;
	struct image image;
	int fds[LOADS];

	fillers(bytes, base, &wide, &narrow);
	n = assemble(insns, map, wide, narrow);
	window("idle", live, bytes, NULL, 0);
	for (i = 0; i < LOADS; i++) {
		after_tick();
		start = nanoseconds();
		tlb_region_start(id);
		fds[i] = load(insns, n);
		tlb_region_stop();
		end = nanoseconds();
		image = inspect(fds[i]);
		if (image.length != bytes)
			errx(1, "%u bytes, not %u", image.length, bytes);
		report("load", live, bytes, 1, end - start);
	}
	/* What the loads left behind, such as freed buffers, is not the frees'. */
	rest(WINDOW);
	window("free", live, bytes, fds, 1);
	window("free", live, bytes, fds + 1, LOADS - 1);
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
	rest(2 * WINDOW);
	for (i = 3; i < (unsigned int)argc; i++)
		measure(map, base, live, number(argv[i]));
	return 0;
}
