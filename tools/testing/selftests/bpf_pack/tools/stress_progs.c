// SPDX-License-Identifier: GPL-2.0
/*
 * Loads, runs and frees programs on all CPUs at once. Each program returns a number of
 * its own: memory that two programs have, that is freed in use, or of which a CPU
 * executes old instructions, gives a wrong number.
 */
#include "generate.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"

#define KEPT 16
#define MAX_WORKERS 64

static const char usage[] =
	"Usage: stress_progs [--workers N] [--rounds N] [--seed N]\n"
	"\n"
	"Each of N workers (default: one for each CPU) loads N programs (default 400) of\n"
	"different sizes, keeps the last few, and checks all of them after each load.\n";

/* A program and what it returns; @fd is -1 for none. */
struct kept {
	int fd;
	__u32 value;
};

static unsigned int seed = 1;

static unsigned int random_below(unsigned int limit)
{
	return rand_r(&seed) / 2 % limit;
}

/* Loads a program of random size with a number of its own. */
static struct kept load(unsigned int worker, unsigned int round)
{
	struct kept kept;

	/* Mostly programs of one constant: old instructions give another constant. */
	if (random_below(4)) {
		kept.value = worker << 24 | round;
		kept.fd = load_constant(kept.value);
	} else {
		kept.fd = load_straight_line(3 + random_below(2000), &kept.value);
	}
	return kept;
}

/* True if each program still returns its own number. */
static bool all_right(const struct kept *kept, unsigned int worker, unsigned int round)
{
	for (int i = 0; i < KEPT; i++) {
		__u32 got;
		int err;

		if (kept[i].fd < 0)
			continue;
		got = run_filter(kept[i].fd, &err);
		if (err || got != kept[i].value) {
			printf("# worker %u round %u: got %#x, not %#x (error %d)\n",
			       worker, round, got, kept[i].value, err);
			return false;
		}
	}
	return true;
}

/* The work of one worker; its exit status. */
static int work(unsigned int worker, unsigned int rounds)
{
	struct kept kept[KEPT];

	for (int i = 0; i < KEPT; i++)
		kept[i].fd = -1;
	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int slot = random_below(KEPT);

		if (kept[slot].fd >= 0)
			close(kept[slot].fd);
		kept[slot] = load(worker, round);
		if (kept[slot].fd < 0) {
			printf("# worker %u round %u: load: %s\n", worker, round,
			       strerror(-kept[slot].fd));
			return 1;
		}
		if (!all_right(kept, worker, round))
			return 1;
	}
	return 0;
}

/* Starts a worker on a CPU of its own, as far as there are enough; its process. */
static pid_t start_worker(unsigned int worker, unsigned int rounds, unsigned int first_seed)
{
	pid_t child = fork();
	cpu_set_t cpus;
	int status;

	if (child)
		return child;
	seed = first_seed + worker;
	CPU_ZERO(&cpus);
	CPU_SET(worker % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	/* Only spreads the load: a refusal does not matter. */
	sched_setaffinity(0, sizeof(cpus), &cpus);
	status = work(worker, rounds);
	fflush(stdout);
	_exit(status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "workers", required_argument, NULL, 'w' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	unsigned int workers = sysconf(_SC_NPROCESSORS_ONLN), rounds = 400, first_seed = getpid();
	pid_t child[MAX_WORKERS];
	int option, status;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'w') {
			workers = strtoul(optarg, NULL, 0);
		} else if (option == 'r') {
			rounds = strtoul(optarg, NULL, 0);
		} else if (option == 's') {
			first_seed = strtoul(optarg, NULL, 0);
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (!workers || workers > MAX_WORKERS || rounds >> 24)
		return 2;

	setlinebuf(stdout);
	ksft_print_header();
	ksft_print_msg("seed %u\n", first_seed);
	ksft_set_plan(workers);
	for (unsigned int i = 0; i < workers; i++)
		child[i] = start_worker(i, rounds, first_seed);
	for (unsigned int i = 0; i < workers; i++) {
		waitpid(child[i], &status, 0);
		ksft_test_result(WIFEXITED(status) && !WEXITSTATUS(status),
				 "worker %u: %u programs gave their own results\n", i, rounds);
	}
	ksft_finished();
}
