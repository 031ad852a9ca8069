// SPDX-License-Identifier: GPL-2.0
/*
 * Loads programs and runs them until it gets SIGTERM, while a test does something else.
 * Ends with status 1 if a result was ever wrong.
 */
#include "run.h"
#include "generate.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILTERS 1000
#define FIRST_VALUE 1000
#define MAX_ATTACHED 4
#define PAUSE_US 1000

static const char usage[] =
	"Usage: hold_progs [--count N] [--insns N] [--between] [--attach NAME]...\n"
	"\n"
	"Loads N socket filters (default 1), prints \"image ADDRESS LENGTH\" for each, runs them\n"
	"all, prints \"ready\", runs them until SIGTERM, and prints the number of rounds.\n"
	"\n"
	"  --insns N      of N instructions (default 2), about 12 bytes each when compiled\n"
	"  --between      loads and closes a small one before each, so that the kernel frees\n"
	"                 images at the same time\n"
	"  --attach NAME  attaches progs/NAME.bpf.o as well and fires it each time; NAME is\n"
	"                 fentry, fexit, kprobe or tracepoint\n";

/* An attached program. */
struct firing {
	const char *name;
	struct bpf_object *object;
	struct bpf_link *link;
};

static volatile sig_atomic_t stopped;
static struct run run;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* Loads filter @number; @value gets what it returns. */
static int load(size_t number, size_t insns, __u32 *value)
{
	if (insns)
		return load_straight_line(insns, value);
	*value = FIRST_VALUE + number;
	return load_constant(*value);
}

static void load_and_close(void)
{
	int fd = load_constant(1);

	if (fd >= 0)
		close(fd);
}

static void print_images(int fd)
{
	struct seen_images list = {};

	images_of_program(fd, &list);
	for (size_t i = 0; i < list.count; i++)
		printf("image 0x%llx %llu\n", (unsigned long long)list.image[i].address,
		       (unsigned long long)list.image[i].length);
}

static void start_firing(struct firing *firing)
{
	struct state state = { .pid = getpid() };
	struct bpf_program *prog;

	firing->object = run_load(&run, firing->name);
	if (!firing->object)
		return;
	prog = bpf_object__next_program(firing->object, NULL);
	state_write(&run, firing->object, &state);
	firing->link = bpf_program__attach(prog);
	if (!firing->link)
		run_fail(&run, "attach %s: %s", firing->name, strerror(errno));
	print_images(bpf_program__fd(prog));
}

/* Makes the event of each program happen and sees that each program counted it. */
static void fire(struct firing *firing, size_t count, int fentry)
{
	__u64 before[MAX_ATTACHED];
	size_t silent = count;

	for (size_t i = 0; i < count; i++)
		before[i] = state_read(&run, firing[i].object).hits;
	for (int tries = 0; silent && run_event_again(tries); tries++) {
		run_test(&run, fentry, NULL, 0);
		silent = 0;
		for (size_t i = 0; i < count; i++)
			silent += state_read(&run, firing[i].object).hits == before[i];
	}
	if (silent)
		run_fail(&run, "%zu of the attached programs did not fire", silent);
}

/* What the command line asks for. */
struct request {
	size_t count;
	size_t insns;
	bool between;
	size_t attached;
	struct firing firing[MAX_ATTACHED];
};

/* Reads the command line; -1, or the exit status of a program that has to end. */
static int parse(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "insns", required_argument, NULL, 'i' },
		{ "between", no_argument, NULL, 'b' },
		{ "attach", required_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c') {
			request->count = strtoul(optarg, NULL, 0);
		} else if (option == 'i') {
			request->insns = strtoul(optarg, NULL, 0);
		} else if (option == 'b') {
			request->between = true;
		} else if (option == 'a' && request->attached < MAX_ATTACHED) {
			request->firing[request->attached++].name = optarg;
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (request->count > MAX_FILTERS) {
		fprintf(stderr, "at most %d\n", MAX_FILTERS);
		return 2;
	}
	return -1;
}

/* The filters, and what each returns. */
static int fds[MAX_FILTERS];
static __u32 values[MAX_FILTERS];

static bool load_filters(const struct request *request)
{
	for (size_t i = 0; i < request->count; i++) {
		if (request->between)
			load_and_close();
		fds[i] = load(i, request->insns, &values[i]);
		if (fds[i] < 0) {
			printf("load: %s\n", strerror(-fds[i]));
			return false;
		}
		print_images(fds[i]);
	}
	return true;
}

/* Runs all programs until SIGTERM or a wrong result; returns the number of rounds. */
static unsigned long run_all(struct request *request, int fentry)
{
	unsigned long rounds = 0;
	int err;

	while (!stopped && run.result == PASS) {
		for (size_t i = 0; i < request->count; i++) {
			run_expect(&run, "result", run_filter(fds[i], &err), values[i]);
			run_expect(&run, "error", err, 0);
		}
		if (request->attached)
			fire(request->firing, request->attached, fentry);
		if (!rounds++ && run.result == PASS)
			puts("ready");
		usleep(PAUSE_US);
	}
	return rounds;
}

int main(int argc, char **argv)
{
	struct request request = { .count = 1 };
	struct bpf_object *trigger = NULL;
	int status = parse(argc, argv, &request), fentry = -1;
	unsigned long rounds;

	if (status >= 0)
		return status;
	setlinebuf(stdout);
	signal(SIGTERM, stop);
	if (run_enter_folder() || !load_filters(&request))
		return 1;
	for (size_t i = 0; i < request.attached; i++)
		start_firing(&request.firing[i]);
	/* A test run of a tracing program calls the functions to which they are attached. */
	if (request.attached && run.result == PASS) {
		trigger = run_load(&run, "fentry");
		fentry = trigger ? run_prog_fd(&run, trigger, "fentry") : -1;
	}
	rounds = run_all(&request, fentry);
	for (size_t i = 0; i < request.attached; i++) {
		bpf_link__destroy(request.firing[i].link);
		bpf_object__close(request.firing[i].object);
	}
	bpf_object__close(trigger);
	printf("%lu rounds\n", rounds);
	if (run.result != PASS)
		printf("wrong: %s\n", run.why);
	return run.result != PASS || !rounds;
}
