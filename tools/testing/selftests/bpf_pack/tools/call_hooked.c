// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the kernel call each function that the module redirects, as often each
 * time: loads, attaches, runs, detaches and frees a fixed set of programs, whose
 * results are checked. Some are freed by the kernel's workers later on.
 */
#include "run.h"
#include "generate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILTERS 6
#define FIRST_VALUE 4000
/* What freplace_target.bpf.c returns by itself and with freplace.bpf.c. */
#define ORIGINAL 101
#define REPLACED (201 + PACKET)

static struct run run;

/* Programs without anything attached, all alive at once. */
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

/* Loads @name for the function "replaceable" of program @target and attaches it. */
static struct bpf_object *attach(const char *name, int target, enum bpf_attach_type type,
				 struct bpf_link **link)
{
	struct bpf_object *object = run_open(&run, name);
	struct state state = { .pid = getpid() };
	struct bpf_program *prog;

	*link = NULL;
	if (!object)
		return NULL;
	prog = bpf_object__next_program(object, NULL);
	if (type)
		bpf_program__set_expected_attach_type(prog, type);
	if (bpf_program__set_attach_target(prog, target, "replaceable") ||
	    bpf_object__load(object)) {
		run_fail(&run, "load %s: %s", name, strerror(errno));
		bpf_object__close(object);
		return NULL;
	}
	if (type)
		state_write(&run, object, &state);
	*link = type ? bpf_program__attach_trace(prog)
		     : bpf_program__attach_freplace(prog, 0, NULL);
	if (!*link)
		run_fail(&run, "attaching %s: %s", name, strerror(errno));
	return object;
}

/* A replacement of the target's function. */
static void replace(int target)
{
	struct bpf_link *link;
	struct bpf_object *object = attach("freplace", target, 0, &link);

	run_expect(&run, "result while replaced", run_packet(&run, target), REPLACED);
	bpf_link__destroy(link);
	run_expect(&run, "result after", run_packet(&run, target), ORIGINAL);
	bpf_object__close(object);
}

/* A trampoline on the target's function. */
static void trace(int target, enum bpf_attach_type type)
{
	struct bpf_link *link;
	struct bpf_object *object = attach("fentry_prog", target, type, &link);

	run_expect(&run, "result while traced", run_packet(&run, target), ORIGINAL);
	if (object)
		run_expect(&run, "hits", state_read(&run, object).hits, 1);
	bpf_link__destroy(link);
	run_expect(&run, "result after", run_packet(&run, target), ORIGINAL);
	bpf_object__close(object);
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
		replace(fd);
		trace(fd, BPF_TRACE_FENTRY);
		trace(fd, BPF_TRACE_FEXIT);
	}
	bpf_object__close(target);
	if (run.result != PASS)
		printf("wrong: %s\n", run.why);
	return run.result != PASS;
}
