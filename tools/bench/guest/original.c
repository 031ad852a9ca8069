// SPDX-License-Identifier: GPL-2.0
/*
 * The workload of BPF-Allocator-Bench, written from its description. Each of N
 * processes loads eight programs and attaches them: to the tracepoints of five cheap
 * system calls, to that of openat, to a kprobe and to a kretprobe. Then the five system
 * calls are made in a loop.
 *
 * Deviations: one process makes the calls, because each call runs the programs of
 * all processes anyway; the probes are on the function that took the place of
 * do_unlinkat(). Where "faithful" programs call trace_printk, "light" programs call
 * another helper, so both have the same length.
 *
 * With a COMMAND there is one region, which begins and ends with the command, while
 * another process makes the calls without a pause.
 */
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "text_pages.h"

#define PROGRAMS 8
#define TRACEPOINTS 6
#define HOT 5
#define MAX_PROCESSES 64	/* the kernel's bound on programs of one tracepoint */
#define FUNCTION "filename_unlinkat"

static const char *const calls[TRACEPOINTS] = {
	"getpgid", "getgid", "getuid", "getpriority", "geteuid", "openat",
};

struct shared {
	volatile unsigned long rounds;
	struct program images[MAX_PROCESSES][PROGRAMS];
	unsigned int ids[MAX_PROCESSES][PROGRAMS];
};

static struct shared *shared;
static int formats;	/* an array map with the format strings */
static int printk_or_not;

/* read_number - the number in a file of sysfs or tracefs. */
static unsigned long read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned long value;

	if (!file || fscanf(file, "%lu", &value) != 1)
		err(1, "%s", path);
	fclose(file);
	return value;
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		err(1, "%s", path);
}

/* create_formats - a frozen map whose one value holds the format strings. */
static int create_formats(void)
{
	static char value[512] = "pid %d\0..pid %d %s\0....pid %d ret %d";
	union bpf_attr attr = { 0 };
	uint32_t key = 0;
	int map;

	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = sizeof(value);
	attr.max_entries = 1;
	attr.map_flags = BPF_F_RDONLY_PROG;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		err(1, "BPF_MAP_CREATE");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		err(1, "BPF_MAP_UPDATE_ELEM");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	if (bpf(BPF_MAP_FREEZE, &attr))
		err(1, "BPF_MAP_FREEZE");
	return map;
}

static unsigned int emit_pid(struct bpf_insn *insns, unsigned int n, int reg)
{
	insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, reg, BPF_REG_0, 0, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_RSH | BPF_K, reg, 0, 0, 32);
	return n;
}

/* emit_print - prints the format at @offset; its arguments are in registers already. */
static unsigned int emit_print(struct bpf_insn *insns, unsigned int n, int offset, int size)
{
	insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, formats);
	insns[n++] = INSN(0, 0, 0, 0, offset);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, size);
	insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, printk_or_not);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

/* tracepoint_body - pid = current; print it. */
static unsigned int tracepoint_body(struct bpf_insn *insns)
{
	return emit_print(insns, emit_pid(insns, 0, BPF_REG_3), 0, 7);
}

/* kprobe_body - print the pid and the name, the second argument's first member. */
static unsigned int kprobe_body(struct bpf_insn *insns)
{
	unsigned int n = 0;

	insns[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_1, 8, 0);
	n = emit_pid(insns, n, BPF_REG_7);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -8);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 8);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_6, 0, 0);
	insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel);
	insns[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_4, BPF_REG_10, -8, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_7, 0, 0);
	return emit_print(insns, n, 9, 10);
}

/* kretprobe_body - print the pid and the returned value. */
static unsigned int kretprobe_body(struct bpf_insn *insns)
{
	unsigned int n = 0;

	insns[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_1, 0, 0);
	n = emit_pid(insns, n, BPF_REG_3);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_6, 0, 0);
	return emit_print(insns, n, 23, 14);
}

static int load_tracing(enum bpf_prog_type type, const struct bpf_insn *insns, unsigned int n)
{
	union bpf_attr attr = { 0 };
	int fd;

	attr.prog_type = type;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = n;
	attr.license = (unsigned long)"GPL";
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		err(1, "BPF_PROG_LOAD of %u instructions", n);
	return fd;
}

/* attach - attaches a program to an event of all processes on this CPU. */
static void attach(int program, struct perf_event_attr *attr)
{
	int event;

	attr->size = sizeof(*attr);
	attr->sample_period = 1;
	attr->wakeup_events = 1;
	event = syscall(__NR_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		err(1, "perf_event_open");
	if (ioctl(event, PERF_EVENT_IOC_SET_BPF, program) || ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
		err(1, "attaching");
}

static unsigned int id_of(int fd)
{
	struct bpf_prog_info info = { 0 };

	get_info(fd, &info);
	return info.id;
}

/* stress - the work of each process: loads and attaches its eight programs. */
static void stress(unsigned int process)
{
	unsigned long probe = read_number("/sys/bus/event_source/devices/kprobe/type");
	struct bpf_insn insns[32];
	unsigned int i;
	char path[128];
	int fd;

	for (i = 0; i < PROGRAMS; i++) {
		struct perf_event_attr attr = { 0 };

		if (i < TRACEPOINTS) {
			fd = load_tracing(BPF_PROG_TYPE_TRACEPOINT, insns, tracepoint_body(insns));
			snprintf(path, sizeof(path), "/sys/kernel/tracing/events/syscalls/sys_enter_%s/id", calls[i]);
			attr.type = PERF_TYPE_TRACEPOINT;
			attr.config = read_number(path);
		} else {
			bool on_return = i > TRACEPOINTS;

			fd = load_tracing(BPF_PROG_TYPE_KPROBE, insns,
					  on_return ? kretprobe_body(insns) : kprobe_body(insns));
			attr.type = probe;
			attr.config = on_return;
			attr.config1 = (unsigned long)FUNCTION;
		}
		shared->images[process][i] = inspect(fd);
		shared->ids[process][i] = id_of(fd);
		attach(fd, &attr);
	}
}

/* start - starts a process and returns when it has attached its programs. */
static void start(unsigned int process)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		err(1, "pipe");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stress(process);
		if (write(ready[1], "", 1) != 1)
			err(1, "write");
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "process %u could not attach its programs", process);
	close(ready[0]);
}

static void round_once(bool flush)
{
	static const long numbers[HOT] = {
		__NR_getpgid, __NR_getgid, __NR_getuid, __NR_getpriority, __NR_geteuid,
	};
	unsigned int i;

	for (i = 0; i < HOT; i++) {
		if (flush)
			tlb_flush();
		syscall(numbers[i], 0, 0);
	}
}

/* check_runs - checks, in one more round, that all programs ran: the kernel counts them. */
static void check_runs(unsigned int processes)
{
	unsigned long before = 0, after = 0;
	unsigned int i, j;

	for (i = 0; i < processes; i++)
		for (j = 0; j < HOT; j++)
			before += runs_of(shared->ids[i][j]);
	write_text("/proc/sys/kernel/bpf_stats_enabled", "1");
	round_once(false);
	write_text("/proc/sys/kernel/bpf_stats_enabled", "0");
	for (i = 0; i < processes; i++)
		for (j = 0; j < HOT; j++)
			after += runs_of(shared->ids[i][j]);
	/* Other processes may make these calls, too. */
	if (after - before < HOT * processes)
		errx(1, "%lu programs ran in a round, not %u", after - before, HOT * processes);
}

/* start_calls - starts a process that makes the calls again and again, and counts rounds. */
static pid_t start_calls(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		round_once(false);
		shared->rounds++;
	}
}

/* run - runs a command to its end. */
static void run(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		execvp(*command, command);
		err(127, "%s", *command);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s failed", *command);
}

/* beside - runs a command beside the calls; the command's work is the same in each layout. */
static void beside(unsigned long id, unsigned int processes, unsigned int touched, char **command)
{
	const struct program *image = shared->images[0];
	pid_t caller = start_calls();
	unsigned long rounds;

	rest(100);
	after_tick();
	tlb_flush();
	rounds = shared->rounds;
	tlb_region_start(id);
	run(command);
	tlb_region_stop();
	rounds = shared->rounds - rounds;
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	printf("{\"line\":\"compiler\",\"region\":%lu,\"processes\":%u,\"rounds\":%lu,"
	       "\"hot_pages\":%u,\"lengths\":[%u,%u,%u]}\n", id, processes, rounds, touched,
	       image[0].length, image[6].length, image[7].length);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; bool flush; unsigned int evict; } temperatures[] = {
		{ "warm", false, 0 }, { "flush", true, 0 }, { "evict64", false, 64 }, { "evict2000", false, 2000 },
	};
	static struct program hot[MAX_PROCESSES * HOT], all[MAX_PROCESSES * PROGRAMS];
	unsigned int processes, rounds, touched, bytes = 0, i, j;
	unsigned long id;

	if (argc < 5 || (strcmp(argv[4], "faithful") && strcmp(argv[4], "light")))
		errx(2, "usage: original ID PROCESSES ROUNDS faithful|light [COMMAND...]");
	id = number(argv[1]);
	processes = number(argv[2]);
	rounds = number(argv[3]);
	printk_or_not = strcmp(argv[4], "light") ? BPF_FUNC_trace_printk : BPF_FUNC_get_current_pid_tgid;
	if (processes < 1 || processes > MAX_PROCESSES)
		errx(2, "1 to %u processes", MAX_PROCESSES);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	formats = create_formats();
	/* The signal that ends the processes must not end the script that runs this. */
	if (setpgid(0, 0))
		err(1, "setpgid");
	for (i = 0; i < processes; i++)
		start(i);
	for (i = 0; i < processes; i++)
		for (j = 0; j < PROGRAMS; j++) {
			all[i * PROGRAMS + j] = shared->images[i][j];
			bytes += shared->images[i][j].length;
			if (j < HOT)
				hot[i * HOT + j] = shared->images[i][j];
		}
	classify(all, processes * PROGRAMS);
	touched = pages(hot, processes * HOT);
	rest(2500);
	if (argc > 5)
		beside(id, processes, touched, argv + 5);
	for (i = 0; argc == 5 && i < sizeof(temperatures) / sizeof(*temperatures); i++) {
		sweep(temperatures[i].evict);
		rest(100);
		after_tick();
		tlb_flush();
		round_once(temperatures[i].flush);
		tlb_region_start(id);
		for (j = 0; j < rounds; j++) {
			sweep(temperatures[i].evict);
			round_once(temperatures[i].flush);
		}
		tlb_region_stop();
		printf("{\"line\":\"hot\",\"region\":%lu,\"mix\":\"original-%s\",\"live\":%u,\"hot\":%u,"
		       "\"place\":\"8 a process\",\"temperature\":\"%s\",\"rounds\":%u,\"hot_pages\":%u,"
		       "\"live_bytes\":%u,\"lengths\":[%u,%u,%u]}\n", id++, argv[4],
		       processes * PROGRAMS, processes * HOT, temperatures[i].name, rounds, touched,
		       bytes, shared->images[0][0].length, shared->images[0][6].length,
		       shared->images[0][7].length);
	}
	check_runs(processes);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
