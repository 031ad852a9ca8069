// SPDX-License-Identifier: GPL-2.0
/* Programs that trace the kernel: they are attached, run at real events, and detached. */
#include "cases.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A loaded and attached object of one program. */
struct traced {
	struct bpf_object *object;
	struct bpf_link *link;
};

static struct traced attach(struct run *run, const char *name, __u64 input)
{
	struct traced traced = { .object = run_load(run, name) };
	struct state state = { .pid = getpid(), .input = input };
	struct bpf_program *prog;

	if (!traced.object)
		return traced;
	state_write(run, traced.object, &state);
	prog = bpf_object__next_program(traced.object, NULL);
	traced.link = bpf_program__attach(prog);
	if (!traced.link)
		run_fail(run, "attach %s: %s", name, strerror(errno));
	return traced;
}

static void detach(struct traced *traced)
{
	bpf_link__destroy(traced->link);
	bpf_object__close(traced->object);
}

/* For a program at system calls: it counts those of this process. */
static void syscalls(struct run *run, const char *name)
{
	struct traced traced = attach(run, name, 0);
	struct state state;

	if (traced.link) {
		__u64 seen = 0;

		for (int tries = 0; seen != 11 && run_event_again(tries); tries++) {
			state = state_read(run, traced.object);
			for (int i = 0; i < 10; i++)
				syscall(SYS_getppid);
			/* Ten calls of getppid(), and the bpf() of the read below. */
			seen = state_read(run, traced.object).hits - state.hits;
		}
		run_expect(run, "system calls seen", seen, 11);
		run_place_object(run, traced.object);
	}
	detach(&traced);
}

static void tracepoint(struct run *run)
{
	syscalls(run, "tracepoint");
}

static void raw_tracepoint(struct run *run)
{
	syscalls(run, "raw_tracepoint");
}

/* For a program at one of the functions that a test run calls. */
static void on_test_function(struct run *run, const char *name, __u64 value, bool trampoline)
{
	struct traced traced = attach(run, name, 0);
	struct state state;

	if (traced.link) {
		__u64 seen = 0;

		for (int tries = 0; seen != 3 && run_event_again(tries); tries++) {
			state = state_read(run, traced.object);
			for (int i = 0; i < 3; i++)
				run_trigger_fentry_tests(run);
			seen = state_read(run, traced.object).hits - state.hits;
		}
		state = state_read(run, traced.object);
		run_expect(run, "hits", seen, 3);
		run_expect(run, "value seen", state.value, value);
		run_place_object(run, traced.object);
		if (trampoline)
			run_place_trampolines(run);
	}
	bpf_link__destroy(traced.link);
	traced.link = NULL;
	if (traced.object) {
		state = state_read(run, traced.object);
		run_trigger_fentry_tests(run);
		run_expect(run, "hits after detaching",
			   state_read(run, traced.object).hits, state.hits);
	}
	detach(&traced);
}

static void kprobe(struct run *run)
{
	on_test_function(run, "kprobe", 1, false);
}

static void kretprobe(struct run *run)
{
	on_test_function(run, "kretprobe", 5, false);
}

static void fentry(struct run *run)
{
	on_test_function(run, "fentry", 1, true);
}

static void fexit(struct run *run)
{
	on_test_function(run, "fexit", 20305, true);
}

static void fmod_ret(struct run *run)
{
	struct bpf_object *plain = run_load(run, "fmod_ret");
	struct traced traced = {};
	int before, after, fd;

	if (!plain)
		return;
	fd = run_prog_fd(run, plain, "fmod_ret");
	before = run_test(run, fd, NULL, 0);
	traced = attach(run, "fmod_ret", 77);
	if (traced.link) {
		after = run_test(run, fd, NULL, 0);
		/* The function returns 77 instead of 4, and does not change b. */
		run_expect(run, "return values", (short)after, (short)before + 77 - 4);
		run_expect(run, "side effects", after >> 16, (before >> 16) - 1);
		run_place_object(run, traced.object);
		run_place_trampolines(run);
	}
	detach(&traced);
	bpf_object__close(plain);
}

static bool lsm_enabled(void)
{
	FILE *file = fopen("/sys/kernel/security/lsm", "re");
	char line[512] = "";
	bool found = false;

	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		for (char *name = strtok(line, ",\n"); name; name = strtok(NULL, ",\n"))
			found |= !strcmp(name, "bpf");
	fclose(file);
	return found;
}

static void lsm(struct run *run)
{
	struct traced traced;
	int nice = getpriority(PRIO_PROCESS, 0);

	if (!lsm_enabled()) {
		run_skip(run, "bpf is not in /sys/kernel/security/lsm (boot with lsm=...,bpf)");
		return;
	}
	traced = attach(run, "lsm", 0);
	if (traced.link) {
		errno = 0;
		setpriority(PRIO_PROCESS, 0, nice + 1);
		run_expect(run, "errno of setpriority", errno, EBUSY);
		run_expect(run, "niceness", getpriority(PRIO_PROCESS, 0), nice);
		run_expect(run, "hits", state_read(run, traced.object).hits, 1);
		run_place_object(run, traced.object);
		run_place_trampolines(run);
	}
	detach(&traced);
}

static void perf_event(struct run *run)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.sample_period = 100000,
	};
	struct bpf_object *object = run_load(run, "perf_event");
	struct state state = { .pid = getpid() };
	struct bpf_link *link;
	struct timespec start, now;
	int fd;

	if (!object)
		return;
	state_write(run, object, &state);
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0) {
		run_fail(run, "perf_event_open: %s", strerror(errno));
		bpf_object__close(object);
		return;
	}
	link = bpf_program__attach_perf_event(bpf_object__next_program(object, NULL), fd);
	if (!link) {
		run_fail(run, "attach: %s", strerror(errno));
		close(fd);
	}
	/* Uses CPU time until there is a sample, for 100 s at most. */
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		state = state_read(run, object);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (link && !state.hits && now.tv_sec - start.tv_sec < 100);
	if (!state.hits)
		run_fail(run, "no sample in 100 s");
	run_place_object(run, object);
	bpf_link__destroy(link);
	bpf_object__close(object);
}

static void iterator(struct run *run)
{
	struct traced traced = attach(run, "iter", 0);
	char text[64] = "", want[64];
	int fd = -1;

	if (traced.link) {
		fd = bpf_iter_create(bpf_link__fd(traced.link));
		if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
			run_fail(run, "read iterator: %s", strerror(errno));
		snprintf(want, sizeof(want), "thread %d\n", getpid());
		if (strcmp(text, want))
			run_fail(run, "iterator printed \"%.40s\"", text);
		run_place_object(run, traced.object);
	}
	if (fd >= 0)
		close(fd);
	detach(&traced);
}

const struct test_case cases_trace[] = {
	{ "tracepoint", tracepoint },
	{ "raw_tracepoint", raw_tracepoint },
	{ "perf_event", perf_event },
	{ "kprobe", kprobe },
	{ "kretprobe", kretprobe },
	{ "fentry", fentry },
	{ "fexit", fexit },
	{ "fmod_ret", fmod_ret },
	{ "lsm", lsm },
	{ "iterator", iterator },
	{},
};
