// SPDX-License-Identifier: GPL-2.0
/* Loads, runs and frees programs of several functions, from several processes at once. */
#include "generate.h"
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"Usage: load_functions FUNCTIONS [LOADS [PROCESSES]]\n"
	"\n"
	"Loads a program of FUNCTIONS functions (1 to 256), runs it and closes it, LOADS times\n"
	"(default 1) in each of PROCESSES processes (default 1). Fails if a result was wrong.\n"
	"Prints how many synchronisations of all CPUs bpf_pack has counted meanwhile, and of\n"
	"how many loads of several functions.\n";

/* Does it @loads times; the exit status. */
static int load(size_t functions, unsigned long loads)
{
	while (loads--) {
		__u32 want, got;
		int err, fd = load_functions(functions, &want);

		if (fd < 0) {
			printf("load: %s\n", strerror(-fd));
			return 1;
		}
		got = run_filter(fd, &err);
		close(fd);
		if (err || got != want) {
			printf("got %u, not %u (error %d)\n", got, want, err);
			return 1;
		}
	}
	return 0;
}

/* True if bpf_pack has no image, and no freed one waits for the CPUs. */
static bool is_quiet(void)
{
	static const char *const keys[] = {
		"images", "retiring_images", "retired_images", "syncing_images",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (status_value(keys[i]) > 0)
			return false;
	return true;
}

/*
 * Loads a program, and waits 100 s at most until nothing is left of it: with the first one
 * libbpf loads some of its own, to see what the kernel can do.
 */
static void warm_up(void)
{
	__u32 unused;

	close(load_functions(1, &unused));
	for (int i = 0; i < 1000 && !is_quiet(); i++)
		usleep(100000);
}

int main(int argc, char **argv)
{
	size_t functions = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	unsigned long loads = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	unsigned long processes = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	long long synchronisations, several;
	int status, failed = 0;

	if (!functions || functions > MAX_FUNCTIONS || argc > 4) {
		fputs(usage, stderr);
		return 2;
	}
	warm_up();
	synchronisations = status_value("synchronisations");
	several = status_value("loads");
	for (unsigned long i = 1; i < processes; i++)
		if (!fork())
			_exit(load(functions, loads));
	failed |= load(functions, loads);
	while (wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status);
	printf("synchronisations %lld\nloads %lld\n",
	       status_value("synchronisations") - synchronisations,
	       status_value("loads") - several);
	return failed;
}
