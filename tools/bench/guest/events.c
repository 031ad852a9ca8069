// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the events of the original benchmark on all CPUs while a command runs,
 * as `perf stat -a` does, and prints one JSON line. An event that the machine
 * does not have is null; so is one that had to share its counter.
 */
#include <err.h>
#include <glob.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Common event numbers (Arm ARM, "PMU events"), and the kernel's names for them. */
static const struct {
	const char *name;
	const char *file;
	unsigned int number;
} events[] = {
	{ "L1I_TLB_REFILL", "l1i_tlb_refill", 0x02 },
	{ "INST_RETIRED", "inst_retired", 0x08 },
	{ "L1I_TLB", "l1i_tlb", 0x26 },
	{ "ITLB_WALK", "itlb_walk", 0x35 },
};

#define EVENTS (sizeof(events) / sizeof(*events))
#define MAX_CPUS 512

static int fds[MAX_CPUS][EVENTS];

/* The kernel opens an event of any number; sysfs lists those that the machine counts. */
static bool has_event(const char *file)
{
	char pattern[128];
	glob_t found;
	bool has;

	snprintf(pattern, sizeof(pattern), "/sys/bus/event_source/devices/armv8*/events/%s", file);
	has = !glob(pattern, 0, NULL, &found) && found.gl_pathc;
	globfree(&found);
	return has;
}

static int open_event(unsigned int number, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_RAW,
		.config = number,
		.disabled = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	return syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* total - the event's count on all CPUs; -1 if a CPU did not count it all the time. */
static int64_t total(unsigned int event, int cpus)
{
	uint64_t value[3];
	int64_t sum = 0;
	int cpu;

	for (cpu = 0; cpu < cpus; cpu++) {
		if (fds[cpu][event] < 0)
			return -1;
		if (read(fds[cpu][event], value, sizeof(value)) != sizeof(value))
			err(1, "read %s", events[event].name);
		if (!value[1] || value[1] != value[2])
			return -1;
		sum += value[0];
	}
	return sum;
}

static void all(int request, int cpus)
{
	for (int cpu = 0; cpu < cpus; cpu++)
		for (unsigned int event = 0; event < EVENTS; event++)
			if (fds[cpu][event] >= 0)
				ioctl(fds[cpu][event], request, 0);
}

int main(int argc, char **argv)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), status;
	pid_t child;

	if (argc < 2)
		errx(2, "usage: events COMMAND...");
	if (cpus < 1 || cpus > MAX_CPUS)
		errx(1, "%d CPUs: 1 to %d", cpus, MAX_CPUS);
	for (int cpu = 0; cpu < cpus; cpu++)
		for (unsigned int event = 0; event < EVENTS; event++)
			fds[cpu][event] = has_event(events[event].file) ?
				open_event(events[event].number, cpu) : -1;
	all(PERF_EVENT_IOC_ENABLE, cpus);
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		execvp(argv[1], argv + 1);
		err(127, "%s", argv[1]);
	}
	if (waitpid(child, &status, 0) < 0)
		err(1, "wait");
	all(PERF_EVENT_IOC_DISABLE, cpus);
	printf("{\"line\":\"events\"");
	for (unsigned int event = 0; event < EVENTS; event++) {
		int64_t sum = total(event, cpus);

		if (sum < 0)
			printf(",\"%s\":null", events[event].name);
		else
			printf(",\"%s\":%lld", events[event].name, (long long)sum);
	}
	puts("}");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
