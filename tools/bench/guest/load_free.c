// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and frees programs beside LIVE others. Each load is a region. A free is a
 * window of time that begins with it, because the kernel frees later; the window is a
 * region, too. The kernel's background work changes slowly, so a window without frees
 * precedes and follows each window with frees.
 *
 * Regions are numbered from ID on, and each has one JSON line, in order. Where virtual
 * time counts instructions, the "ns" of a load are instructions. Those of a window are
 * not, because the clock jumps over idle time.
 */
#include "program.h"

#define LOADS 4
/* Longer than grace periods and than the timers of one second of module and kernel. */
#define WINDOW 2500

static struct bpf_insn insns[MAX_INSNS];
static unsigned long id;

static void report(const char *what, unsigned int live, unsigned int bytes, unsigned int count,
		   unsigned long ns)
{
	printf("{\"line\":\"load_free\",\"region\":%lu,\"what\":\"%s\",\"live\":%u,\"bytes\":%u,"
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
	struct program image;
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
	/* The loads leave work, such as freed buffers, that the frees must not pay for. */
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
		errx(2, "usage: load_free ID LIVE BYTES...");
	id = number(argv[1]);
	live = number(argv[2]);
	allow_files(live + 64);
	map = create_array(1);
	base = shortest(map);
	/* The live programs are small: 256 bytes. */
	fillers(256, base, &wide, &narrow);
	n = assemble(insns, map, wide, narrow);
	for (i = 0; i < live; i++)
		load(insns, n);
	/* Longer than the module keeps an empty pack: shortest() freed a program. */
	rest(4 * WINDOW);
	/* With nothing else live, this program takes the first chunks; it stays until the end. */
	timed_load("first", n, live, 256);
	for (i = 3; i < (unsigned int)argc; i++)
		measure(map, base, live, number(argv[i]));
	return 0;
}
