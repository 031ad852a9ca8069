// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and runs one program of each kind, checks its results, and looks where its
 * images lie: two KTAP lines for each kind. With --expect stock the same programs
 * run without bpf_pack, for comparison. The cases are in cases/.
 */
#include "cases/cases.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"

static const struct test_case *const groups[] = {
	cases_net, cases_trace, cases_cgroup, cases_link, cases_classic, cases_big,
};

/* The values of --expect, and the words of a case for where its images lie. */
static const struct {
	const char *name;
	const char *images_in;
} expected[] = {
	[EXPECT_STOCK] = { "stock", "base pages" },
	[EXPECT_PACK] = { "pack", "2 MiB packs" },
	[EXPECT_ANY] = { "any", "packs" },
};

static const char usage[] =
	"Usage: run_progs [--expect pack|any|stock] [--list] [CASE]...\n"
	"\n"
	"Loads and runs BPF programs of many kinds and checks their results and where\n"
	"their images lie: in packs that are 2 MiB leaves (the default), in packs of any\n"
	"leaves, or in the stock allocator's base pages.\n"
	"\n"
	"  --expect pack|any|stock  what the images must lie in\n"
	"  --list                   prints the names of the cases\n"
	"\n"
	"The case \"largest\", a program of a million instructions, only runs when named:\n"
	"it takes 2 GiB of memory, and most of a minute on an emulated CPU.\n"
	"\n"
	"Needs root, debugfs, bpf_pack_ptwalk, and for \"pack\" bpf_pack.\n";

static void report(enum outcome outcome, const char *name, const char *what, const char *why)
{
	switch (outcome) {
	case PASS:
		ksft_test_result_pass("%s: %s\n", name, what);
		break;
	case FAIL:
		ksft_test_result_fail("%s: %s: %s\n", name, what, why);
		break;
	case SKIP:
		/* ksft_test_result_skip() prints the directive before the name. */
		ksft_cnt.ksft_xskip++;
		printf("ok %u %s: %s # SKIP %s\n", ksft_test_num(), name, what, why);
		break;
	}
}

/* The number of trampolines that others have. */
static size_t trampolines_of_others;

/*
 * Waits, 100 s at most, until the trampolines of the last case are gone: a new one at
 * the address of an old one would not look new.
 */
static void wait_for_trampolines(void)
{
	for (int i = 0; i < 1000; i++) {
		struct seen_images now = {};

		if (images_of_trampolines(&now) || now.count <= trampolines_of_others)
			return;
		usleep(100000);
	}
}

/* Completes run->place with what the counters say; @served is images_served of status. */
static void judge_place(struct run *run, long long served_before, long long served_after)
{
	if (run->result == SKIP) {
		run->place = SKIP;
		snprintf(run->place_why, sizeof(run->place_why), "%.200s", run->why);
	} else if (!run->images && run->place == PASS) {
		run->place = FAIL;
		snprintf(run->place_why, sizeof(run->place_why), "no image was seen");
	} else if (run->place == PASS && run->expect != EXPECT_STOCK &&
		   served_after - served_before < (long long)run->served) {
		run->place = FAIL;
		snprintf(run->place_why, sizeof(run->place_why),
			 "images_served went from %lld to %lld", served_before, served_after);
	}
}

static void run_case(const struct test_case *test, enum expect expect)
{
	struct run run = { .expect = expect };
	long long before = status_value("images_served");
	char what[64];

	wait_for_trampolines();
	images_of_trampolines(&run.trampolines);
	test->go(&run);
	judge_place(&run, before, status_value("images_served"));
	report(run.result, test->name, "gives the right results", run.why);
	snprintf(what, sizeof(what), "%zu image%s in %s", run.images, run.images == 1 ? "" : "s",
		 expected[expect].images_in);
	report(run.place, test->name, what, run.place_why);
}

static bool wanted(const struct test_case *test, char **names)
{
	if (!*names)
		return !test->on_request;
	for (; *names; names++)
		if (!strcmp(*names, test->name))
			return true;
	return false;
}

/* Calls @visit, if not NULL, for each wanted case; returns their number. */
static unsigned int each_case(char **names, enum expect expect,
			      void (*visit)(const struct test_case *, enum expect))
{
	unsigned int count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		for (const struct test_case *test = groups[i]; test->name; test++) {
			if (!wanted(test, names))
				continue;
			count++;
			if (visit)
				visit(test, expect);
		}
	}
	return count;
}

static void print_case(const struct test_case *test, enum expect expect)
{
	(void)expect;
	puts(test->name);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && getenv("VERBOSE"))
		vfprintf(stderr, format, args);
	return 0;
}

static bool parse_expect(const char *name, enum expect *expect)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (!strcmp(name, expected[i].name)) {
			*expect = i;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "expect", required_argument, NULL, 'e' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	enum expect expect = EXPECT_PACK;
	struct seen_images others = {};
	bool list = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'e' && parse_expect(optarg, &expect)) {
			continue;
		} else if (option == 'l') {
			list = true;
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (list) {
		each_case(argv + optind, expect, print_case);
		return 0;
	}

	setlinebuf(stdout);
	ksft_print_header();
	if (geteuid())
		ksft_exit_skip("must be run as root\n");
	if (run_enter_folder())
		ksft_exit_fail_msg("own folder: %s\n", strerror(errno));
	libbpf_set_print(quiet);
	run_prepare();
	if (!images_of_trampolines(&others))
		trampolines_of_others = others.count;
	/* Sockets and devices of the tests stay out of the machine's own network. */
	if (unshare(CLONE_NEWNET) || loopback_up())
		ksft_exit_fail_msg("network namespace: %s\n", strerror(errno));
	ksft_set_plan(2 * each_case(argv + optind, expect, NULL));
	each_case(argv + optind, expect, run_case);
	ksft_finished();
}
