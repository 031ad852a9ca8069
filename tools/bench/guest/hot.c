// SPDX-License-Identifier: GPL-2.0
/*
 * Loads LIVE programs of a size mix and runs some of them again and again, to see how
 * many TLB misses programs on few and on many pages have.
 *
 * SCENARIO is HOT[/PLACE[/TEMPERATURE]]. PLACE: "spread" (default) takes the hot
 * programs evenly from all live ones, "dense" the first ones. TEMPERATURE:
 * "warm" (default), "flush" (an empty model before each system call), "evict64"
 * and "evict2000" (calls into 64 or 2000 pages of user code before each round),
 * "churn64" (64 short-lived programs before each round, see churn.h). In the mix "fleet"
 * short-lived programs are loaded between the others, too. In the mix "many" some loads are
 * regions, numbered from ID + TIMED on.
 *
 * A round runs each hot program once, in order of loading, CHAIN of them in one
 * system call. The first round is not counted. Each scenario is a region, numbered
 * from ID on, and has one JSON line.
 */
#include <stdbool.h>

#include "churn.h"
#include "text_pages.h"

#define MAX_LIVE 100000
#define TIMED 50
/* Loads in a row that are regions. */
#define IN_A_ROW 4
/* Bytes of each program of the mix "many". */
#define SMALL 256

static struct bpf_insn insns[MAX_INSNS];
static struct program images[MAX_LIVE], sorted[MAX_LIVE];
static unsigned int live, bytes;
static int map;

/* Sizes of real tools' programs. The programs here have their sizes, not their code. */
static const unsigned int recorded[] = {
#include "sizes.h"
};

/* 4 to 64 KiB. */
static const unsigned int large[5] = { 4096, 8192, 16384, 32768, 65536 };

#define RECORDED (sizeof(recorded) / sizeof(*recorded))

/*
 * A program here ends in a tail call, whose length depends on the CPU and on the map's
 * address. One bound for all, so that the sizes are the same everywhere.
 */
#define SHORTEST 216

/* size - bytes of the program number @index of a mix. */
static unsigned int size(const char *mix, unsigned int index)
{
	unsigned int bytes;

	if (!strcmp(mix, "many"))
		return SMALL;
	if (!strcmp(mix, "large"))
		return large[index * 3 % 5];
	if (strcmp(mix, "realistic") && strcmp(mix, "fleet"))
		return number(mix);
	bytes = (recorded[index % RECORDED] + 7) / 8 * 8;
	return bytes < SHORTEST ? SHORTEST : bytes;
}

/* raised - how many recorded programs are shorter than SHORTEST. */
static unsigned int raised(void)
{
	unsigned int count = 0, i;

	for (i = 0; i < RECORDED; i++)
		count += recorded[i] < SHORTEST;
	return count;
}

/* mean - the mean of the recorded sizes. */
static unsigned int mean(void)
{
	unsigned int total = 0, i;

	for (i = 0; i < RECORDED; i++)
		total += recorded[i];
	return total / RECORDED;
}

/* load_timed - loads a program in a region, beside so many live ones. */
static int load_timed(unsigned long id, unsigned int n, unsigned int beside)
{
	int fd;

	after_tick();
	tlb_region_start(id);
	fd = load(insns, n);
	tlb_region_stop();
	printf("{\"line\":\"many\",\"region\":%lu,\"beside\":%u}\n", id, beside);
	return fd;
}

/* is_timed - whether the load of program number @index is a region: the first and the last ones. */
static bool is_timed(unsigned int index)
{
	return index < IN_A_ROW || index >= live - IN_A_ROW ||
	       (index >= live / 10 && index < live / 10 + IN_A_ROW);
}

static void load_all(const char *mix, unsigned long timed)
{
	bool fleet = !strcmp(mix, "fleet"), many = !strcmp(mix, "many");
	unsigned int base = shortest(map), wide, narrow, n, i;

	/*
	 * shortest() freed a program, whose memory is free after a grace period. Without
	 * this rest the images would not be contiguous.
	 */
	rest(2500);
	for (i = 0; i < live; i++) {
		unsigned int wanted = size(mix, i);

		if (fleet)
			churn(1);
		fillers(wanted, base, &wide, &narrow);
		n = assemble(insns, map, wide, narrow);
		images[i] = inspect(many && is_timed(i) ? load_timed(timed++, n, i) : load(insns, n));
		if (images[i].length != wanted)
			errx(1, "program %u has %u bytes, not %u", i, images[i].length, wanted);
		bytes += images[i].length;
	}
}

/* choose - puts the hot programs into the array. */
static void choose(unsigned int hot, bool dense)
{
	static unsigned int before;
	unsigned int i;

	for (i = hot; i < before; i++)
		drop(map, i);
	before = hot;
	for (i = 0; i < hot; i++) {
		sorted[i] = images[dense ? i : (unsigned long)i * live / hot];
		put(map, i, sorted[i].fd);
	}
}

/* fd_of - the hot program number @index. */
static int fd_of(unsigned int index, unsigned int hot, bool dense)
{
	return images[dense ? index : (unsigned long)index * live / hot].fd;
}

static void round_once(unsigned int hot, bool dense, bool flush)
{
	static unsigned char packet[64];
	unsigned int first, end;

	for (first = 0; first < hot; first += CHAIN) {
		struct __sk_buff skb = { .mark = first };
		union bpf_attr attr = { 0 };

		attr.test.prog_fd = fd_of(first, hot, dense);
		attr.test.data_in = (unsigned long)packet;
		attr.test.data_size_in = sizeof(packet);
		attr.test.ctx_in = (unsigned long)&skb;
		attr.test.ctx_size_in = sizeof(skb);
		if (flush)
			tlb_flush();
		if (bpf(BPF_PROG_TEST_RUN, &attr))
			err(1, "BPF_PROG_TEST_RUN");
		end = first + CHAIN < hot ? first + CHAIN : hot;
		if (attr.test.retval != end)
			errx(1, "the chain ended at program %u, not %u", attr.test.retval, end);
	}
}

static void scenario(unsigned long id, const char *mix, unsigned int rounds, char *text)
{
	const char *place, *temperature;
	unsigned int hot, evict = 0, churned = 0, touched, i;
	bool dense, flush;
	long before;

	hot = number(strtok(text, "/"));
	place = strtok(NULL, "/") ?: "spread";
	temperature = strtok(NULL, "/") ?: "warm";
	dense = !strcmp(place, "dense");
	flush = !strcmp(temperature, "flush");
	if (!strncmp(temperature, "evict", 5))
		evict = number(temperature + 5);
	if (!strncmp(temperature, "churn", 5))
		churned = number(temperature + 5);
	if (!hot || hot > live || evict > SWEEP ||
	    (!dense && strcmp(place, "spread")) ||
	    (!evict && !flush && !churned && strcmp(temperature, "warm")))
		errx(2, "bad scenario %s/%s/%s", text, place, temperature);

	choose(hot, dense);
	touched = pages(sorted, hot);
	sweep(evict);
	rest(100);
	after_tick();
	tlb_flush();
	churn(churned);
	round_once(hot, dense, flush);
	before = module_synchronisations();
	tlb_region_start(id);
	for (i = 0; i < rounds; i++) {
		sweep(evict);
		churn(churned);
		round_once(hot, dense, flush);
	}
	tlb_region_stop();
	if (churned)
		printf("{\"line\":\"churn\",\"region\":%lu,\"programs\":%u,"
		       "\"synchronisations\":%ld}\n", id, rounds * churned,
		       module_synchronisations() - before);
	printf("{\"line\":\"hot\",\"region\":%lu,\"mix\":\"%s\",\"live\":%u,\"hot\":%u,"
	       "\"place\":\"%s\",\"temperature\":\"%s\",\"rounds\":%u,\"hot_pages\":%u,"
	       "\"live_bytes\":%u}\n", id, mix, live, hot, place, temperature, rounds,
	       touched, bytes);
}

int main(int argc, char **argv)
{
	unsigned int rounds, stretches;
	unsigned long id;
	int i;

	if (argc < 6)
		errx(2, "usage: hot ID MIX LIVE ROUNDS SCENARIO...");
	id = number(argv[1]);
	live = number(argv[3]);
	rounds = number(argv[4]);
	if (live < 1 || live > MAX_LIVE)
		errx(2, "1 to %u programs", MAX_LIVE);
	allow_files(MAX_LIVE + 64);
	map = create_array(live);
	load_all(argv[2], id + TIMED);
	/* In a suite that does not count loads, the model begins here. */
	tlb_begin();
	rest(2500);
	memcpy(sorted, images, live * sizeof(*images));
	stretches = classify(sorted, live);
	fflush(stdout);
	if (system("./memory.sh loaded"))
		errx(1, "memory.sh failed");
	printf("{\"line\":\"loaded\",\"mix\":\"%s\",\"live\":%u,\"bytes\":%u,\"stretches\":%u,"
	       "\"recorded\":%zu,\"mean\":%u,\"shortest\":%u,\"raised\":%u}\n",
	       argv[2], live, bytes, stretches, RECORDED, mean(), SHORTEST, raised());
	for (i = 5; i < argc; i++)
		scenario(id++, argv[2], rounds, argv[i]);
	fflush(stdout);
	if (!strcmp(argv[2], "fleet") && system("./memory.sh after"))
		errx(1, "memory.sh failed");
	return 0;
}
