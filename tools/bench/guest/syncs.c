// SPDX-License-Identifier: GPL-2.0
/*
 * Counts synchronisations of all CPUs while programs are loaded and freed, on several
 * CPUs.
 *
 * From the outside: the kernel traces each function that one CPU runs for another
 * (csd_function_entry), and counts the interrupts for that. A synchronisation is one
 * call on each CPU but the caller's. From the inside: the module's own counter.
 *
 * One JSON line for each measurement.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "program.h"

#define MAX_FUNCTIONS 256
#define MAX_PROGRAMS 10000
#define MAX_THREADS 4
/* Loads of a program of several functions, one after the other. */
#define LOADS 10
/* When the calls have not changed for so long, nothing is left to free. */
#define QUIET 2000
#define SECOND 1000000000UL
#define EVENT "/sys/kernel/tracing/events/csd/csd_function_entry/"
#define STATUS "/sys/kernel/debug/bpf_pack/status"

/* What is counted. */
struct counts {
	unsigned long calls;		/* of functions that synchronise a CPU */
	unsigned long other_calls;	/* of other functions */
	unsigned long interrupts;	/* "Function call interrupts" */
	unsigned long dropped;		/* calls that the kernel did not count */
	long inside;			/* the module's counter; -1: no module */
};

static int cpus;
static int fds[MAX_PROGRAMS];
static struct bpf_insn insns[4 * MAX_FUNCTIONS];

/* program_of - a program whose first function calls each of the others; its length. */
static unsigned int program_of(unsigned int functions)
{
	unsigned int first = 2 * functions, n = 0, i;

	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	for (i = 1; i < functions; i++) {
		insns[n] = INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0,
				(int)(first + 2 * (i - 1)) - (int)n - 1);
		n++;
		insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_0, 0, 0, 1);
	}
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (i = 1; i < functions; i++) {
		insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, i);
		insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	return n;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	if (!file)
		err(1, "%s", path);
	return file;
}

static bool is_synchronisation(const char *function)
{
	/* That of kick_all_cpus_sync(), and the module's. */
	return !strcmp(function, "do_nothing") || !strcmp(function, "synchronise_context");
}

/* status - a value of the module's status; -1 without the module. */
static long status(const char *key)
{
	FILE *file = fopen(STATUS, "r");
	char line[256], name[64];
	long value = -1, seen;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63[a-z_]: %ld", name, &seen) == 2 && !strcmp(name, key))
			value = seen;
	fclose(file);
	if (value < 0)
		errx(1, "%s: no %s", STATUS, key);
	return value;
}

static void count_calls(struct counts *now)
{
	FILE *file = open_file(EVENT "hist", "r");
	unsigned long hits;
	bool complete = false;
	char line[512], name[128], *at;

	while (fgets(line, sizeof(line), file)) {
		complete |= sscanf(line, " Dropped: %lu", &now->dropped) == 1;
		at = strstr(line, "hitcount: ");
		if (!at || sscanf(line, "{ func: [%*[0-9a-f]] %127s", name) != 1)
			continue;
		hits = strtoul(at + strlen("hitcount: "), NULL, 10);
		if (is_synchronisation(name))
			now->calls += hits;
		else
			now->other_calls += hits;
	}
	fclose(file);
	if (!complete)
		errx(1, "the kernel's counts have no end");
}

static void count_interrupts(struct counts *now)
{
	FILE *file = open_file("/proc/interrupts", "r");
	bool found = false;
	char line[1024];

	while (fgets(line, sizeof(line), file)) {
		char *at = strchr(line, ':');

		if (!at || !strstr(line, "Function call interrupts"))
			continue;
		found = true;
		at++;
		for (int cpu = 0; cpu < cpus; cpu++)
			now->interrupts += strtoul(at, &at, 10);
	}
	fclose(file);
	if (!found)
		errx(1, "/proc/interrupts: no function call interrupts");
}

static struct counts count(void)
{
	struct counts now = { .inside = status("synchronisations") };

	count_calls(&now);
	count_interrupts(&now);
	return now;
}

/* trace - makes the kernel count calls by function; those on the caller's CPU have no csd. */
static void trace(void)
{
	FILE *file = open_file(EVENT "trigger", "w");

	if (fputs("hist:keys=func.sym if csd != 0", file) < 0 || fclose(file))
		err(1, "%s", EVENT "trigger");
}

/* report - counts since @before; @seconds that it took, about. */
static void report(const char *what, unsigned int functions, unsigned int times,
		   unsigned int from, const struct counts *before, unsigned long seconds)
{
	struct counts now = count();

	if (now.dropped != before->dropped)
		errx(1, "the kernel did not count all calls");
	printf("{\"line\":\"syncs\",\"what\":\"%s\",\"functions\":%u,\"times\":%u,\"from\":%u,"
	       "\"cpus\":%d,\"seconds\":%lu,\"calls\":%lu,\"other_calls\":%lu,"
	       "\"interrupts\":%lu,\"inside\":",
	       what, functions, times, from, cpus, seconds, now.calls - before->calls,
	       now.other_calls - before->other_calls, now.interrupts - before->interrupts);
	if (now.inside < 0)
		puts("null}");
	else
		printf("%ld}\n", now.inside - before->inside);
	fflush(stdout);
}

/* settle - waits until nothing is left of freed programs. */
static void settle(void)
{
	static const char *const waiting[] = { "retiring_images", "retired_images", "syncing_images" };
	unsigned long calls = count().calls, before;
	bool left;

	do {
		before = calls;
		rest(QUIET);
		calls = count().calls;
		left = false;
		for (unsigned int i = 0; i < sizeof(waiting) / sizeof(*waiting); i++)
			left |= status(waiting[i]) > 0;
	} while (left || calls != before);
}

static void stay_on(unsigned int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		err(1, "stay on CPU %u", cpu);
}

/* What each thread loads. */
struct share {
	pthread_t thread;
	unsigned int cpu, length, times;
};

static pthread_barrier_t barrier;

static void *load_share(void *argument)
{
	struct share *share = argument;

	stay_on(share->cpu);
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < share->times; i++)
		load(insns, share->length);
	return NULL;
}

/* load_from - loads a program many times, from several CPUs at once; all stay loaded. */
static void load_from(unsigned int from, unsigned int functions, unsigned int times)
{
	struct share shares[MAX_THREADS];
	unsigned int length = program_of(functions), i;

	pthread_barrier_init(&barrier, NULL, from);
	for (i = 0; i < from; i++) {
		shares[i] = (struct share){
			.cpu = i, .length = length, .times = times / from,
		};
		errno = pthread_create(&shares[i].thread, NULL, load_share, &shares[i]);
		if (errno)
			err(1, "thread");
	}
	for (i = 0; i < from; i++)
		pthread_join(shares[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

/* loads - counts during loads. */
static void loads(unsigned int from, unsigned int functions, unsigned int times)
{
	struct counts before;
	unsigned long start;

	before = count();
	start = nanoseconds();
	load_from(from, functions, times);
	report("load", functions, times, from, &before, (nanoseconds() - start) / SECOND);
}

/* attach - gives a new socket a classic filter, which is much cheaper to load than others. */
static int attach(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 1) };
	struct sock_fprog program = { .len = 1, .filter = code };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		err(1, "SO_ATTACH_FILTER");
	return fd;
}

/* frees - counts while many socket filters are freed at once. */
static void frees(unsigned int times)
{
	struct counts before;
	unsigned long start;

	for (unsigned int i = 0; i < times; i++)
		fds[i] = attach();
	settle();
	before = count();
	start = nanoseconds();
	for (unsigned int i = 0; i < times; i++)
		close(fds[i]);
	settle();
	report("free", 1, times, 1, &before, (nanoseconds() - start) / SECOND - QUIET / 1000);
}

int main(int argc, char **argv)
{
	unsigned int many, storm;

	if (argc != 3)
		errx(2, "usage: syncs LOADS FREES");
	many = number(argv[1]);
	storm = number(argv[2]);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus < MAX_THREADS || many > MAX_PROGRAMS || storm > MAX_PROGRAMS)
		errx(2, "at least %d CPUs, at most %d programs", MAX_THREADS, MAX_PROGRAMS);
	allow_files(5 * MAX_PROGRAMS);
	trace();
	/* When two CPUs call a function for the first time at once, the kernel may drop one call. */
	load_from(MAX_THREADS, 1, MAX_THREADS);
	settle();
	loads(1, 1, LOADS);
	loads(1, 8, LOADS);
	loads(1, 64, LOADS);
	loads(1, 256, LOADS);
	for (unsigned int from = 1; from <= MAX_THREADS; from *= 2)
		loads(from, 1, many);
	frees(storm);
	return 0;
}
