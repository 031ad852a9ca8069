// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the kernel call each function that the module redirects, the same number of
 * times in each run: loads, attaches, runs, detaches and frees a fixed set of
 * programs, and checks their results. The kernel's workers free some of them later.
 */
#include "attach.h"
#include "generate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILTERS 6
#define FIRST_VALUE 4000

static struct run run;

/* Socket filters, all alive at once. */
static void filters(void)
{
	int fds[FILTERS], err;

	for (int i = 0; i < FILTERS; i++) {
		fds[i] = load_constant(FIRST_VALUE + i);
		if (fds[i] < 0)
			run_fail(&run, "load: %s", strerror(-fds[i]));
	}
	for (int i = 0; i < FILTERS; i++) {
		if (fds[i] < 0)
			continue;
		run_expect(&run, "filter", run_filter(fds[i], &err), FIRST_VALUE + i);
		run_expect(&run, "error", err, 0);
		close(fds[i]);
	}
}

int main(void)
{
	struct bpf_object *target;
	int fd;

	if (run_enter_folder())
		return 1;
	filters();
	target = run_load(&run, "freplace_target");
	if (target) {
		fd = run_prog_fd(&run, target, "freplace_target");
		attach_replacement(&run, fd);
		attach_trampoline(&run, fd, BPF_TRACE_FENTRY);
		attach_trampoline(&run, fd, BPF_TRACE_FEXIT);
	}
	bpf_object__close(target);
	if (run.result != PASS)
		printf("wrong: %s\n", run.why);
	return run.result != PASS;
}
