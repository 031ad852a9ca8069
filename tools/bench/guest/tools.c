// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the tools of libbpf-tools, all at the same time, and a workload that their programs see.
 *
 * DIR/list has a line for each tool: its file in DIR and its arguments. A tool is stopped when it
 * has attached its programs and waits: the kernel goes on running them, while the tool's own code
 * does not disturb the counts. A tool that ends, or that waits without a program, is quiet: it is
 * only listed, with the reason.
 *
 * The model begins when all tools are stopped: to start them is most of the guest's work. Each
 * temperature is a region, numbered from ID on: ROUNDS rounds of the workload, after one that
 * is not counted. "flush": an empty model before each step of a round; "evict64", "evict2000":
 * calls into so many pages of user code before each round. Then the kernel counts the runs of each
 * program in as many rounds.
 */
#define _GNU_SOURCE
#include "workload.h"

#define MAX_TOOLS 128
#define MAX_PROGRAMS 1024
#define MAX_IMAGES 4096
#define MAX_FUNCTIONS 64	/* of one program */
#define MAX_ARGUMENTS 8
/* Seconds that a tool may take to come to rest, and that it may rest in a row without a program. */
#define PATIENCE 120
#define WITHOUT_PROGRAM 3
/* Milliseconds of the CPU that a tool at rest may use in a second: some look for events often. */
#define AT_REST 100
/* The kernel has no trampoline that is longer than this. */
#define TRAMPOLINE 4096
/* Seconds that the workload may take: a lost packet must not cost the guest's own time limit. */
#define WORKLOAD 600

struct tool {
	char name[64];
	pid_t pid;
};

/* A program, and its functions: images[first] and those that follow. */
struct traced {
	unsigned int id, first, functions;
	unsigned long runs;
};

static struct tool tools[MAX_TOOLS];
static struct traced programs[MAX_PROGRAMS];
static struct program images[MAX_IMAGES], all[MAX_IMAGES], hot[MAX_IMAGES];
static unsigned int attached, loaded, functions, bytes;
static char quiet[4096];

/* next_id - the id of the program that was loaded after @id, or 0. */
static unsigned int next_id(unsigned int id)
{
	union bpf_attr attr = { 0 };

	attr.start_id = id;
	if (bpf(BPF_PROG_GET_NEXT_ID, &attr)) {
		if (errno == ENOENT)
			return 0;
		err(1, "BPF_PROG_GET_NEXT_ID");
	}
	return attr.next_id;
}

/* newest_id - the id of the newest program that is loaded. */
static unsigned int newest_id(void)
{
	unsigned int id = 0, next;

	while ((next = next_id(id)))
		id = next;
	return id;
}

static unsigned int count_after(unsigned int id)
{
	unsigned int count = 0;

	while ((id = next_id(id)))
		count++;
	return count;
}

/* add_program - notes a program and the images of all its functions. */
static void add_program(unsigned int id)
{
	uint64_t addresses[MAX_FUNCTIONS] = { 0 };
	uint32_t lengths[MAX_FUNCTIONS] = { 0 };
	struct bpf_prog_info info = { 0 };
	int fd = program_by_id(id);
	unsigned int i;

	info.nr_jited_ksyms = MAX_FUNCTIONS;
	info.jited_ksyms = (unsigned long)addresses;
	info.nr_jited_func_lens = MAX_FUNCTIONS;
	info.jited_func_lens = (unsigned long)lengths;
	get_info(fd, &info);
	close(fd);
	if (loaded == MAX_PROGRAMS || info.nr_jited_ksyms > MAX_FUNCTIONS ||
	    info.nr_jited_ksyms != info.nr_jited_func_lens ||
	    functions + info.nr_jited_ksyms > MAX_IMAGES)
		errx(1, "too many programs, or program %u has too many functions", id);
	programs[loaded++] = (struct traced){
		.id = id, .first = functions, .functions = info.nr_jited_ksyms,
	};
	for (i = 0; i < info.nr_jited_ksyms; i++) {
		if (!addresses[i] || !lengths[i])
			errx(1, "program %u has no visible image: not jited, or kptr_restrict", id);
		images[functions].address = addresses[i];
		images[functions++].length = lengths[i];
		bytes += lengths[i];
	}
}

/* add_trampolines - puts the kernel's trampolines after the @count images; returns how many. */
static unsigned int add_trampolines(struct program *list, unsigned int count)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned int first = count;
	unsigned long address;
	char line[1024], digit[2];

	if (!file)
		err(1, "/proc/kallsyms");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %*c bpf_trampoline_%1[0-9]", &address, digit) != 2)
			continue;
		if (count == MAX_IMAGES)
			errx(1, "too many images");
		list[count++] = (struct program){ .address = address, .length = TRAMPOLINE };
	}
	fclose(file);
	return count - first;
}

/*
 * tell_model - gives the model the ranges of all images; returns the number of trampolines. The
 * kernel tells no length of these: each ends at the next image, if that is nearer than the most
 * that it may have.
 */
static unsigned int tell_model(void)
{
	unsigned int trampolines, count, i;

	memcpy(all, images, functions * sizeof(*all));
	trampolines = add_trampolines(all, functions);
	count = functions + trampolines;
	qsort(all, count, sizeof(*all), by_address);
	for (i = 0; i + 1 < count; i++)
		if (all[i].address + all[i].length > all[i + 1].address)
			all[i].length = all[i + 1].address - all[i].address;
	classify(all, count);
	return trampolines;
}

/* cpu_time - milliseconds of the CPU that a process has had; false if it has just ended. */
static bool cpu_time(pid_t pid, unsigned long *milliseconds)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time))
		return false;
	*milliseconds = time.tv_sec * 1000UL + time.tv_nsec / 1000000;
	return true;
}

/*
 * may_wait - whether a process is in a system call that waits for events or for a time, or runs:
 * to read this wakes a tool that traces reads. One that has just ended does neither.
 */
static bool may_wait(pid_t pid)
{
	static const int calls[] = {
		__NR_epoll_pwait, __NR_ppoll, __NR_pselect6, __NR_nanosleep, __NR_clock_nanosleep,
		__NR_rt_sigtimedwait, __NR_rt_sigsuspend,
	};
	char path[64], text[256] = "";
	unsigned int i;
	FILE *file;
	int call;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		*text = 0;
	fclose(file);
	if (sscanf(text, "%d", &call) != 1)
		return !strncmp(text, "running", 7);
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (call == calls[i])
			return true;
	return false;
}

/* add_quiet - notes a tool that is not there, and why. */
static void add_quiet(const char *name, const char *why)
{
	size_t used = strlen(quiet);
	int length = snprintf(quiet + used, sizeof(quiet) - used, "%s\"%s: %s\"",
			      used ? "," : "", name, why);

	if (length < 0 || (size_t)length >= sizeof(quiet) - used)
		errx(1, "too many quiet tools");
}

/* add_ended - notes a tool that ended by itself. One that could not begin, or broke, is an error. */
static void add_ended(const char *name, int status)
{
	char why[32];

	if (!WIFEXITED(status) || WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127)
		errx(1, "%s ended with wait status %#x", name, status);
	snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	add_quiet(name, why);
}

/*
 * has_settled - waits until a tool has programs and rests; false if it ended or rests without.
 * Little use of the CPU alone also fits a tool that waits for the kernel to attach a program.
 */
static bool has_settled(const struct tool *tool, unsigned int before)
{
	unsigned int without = 0, i;
	unsigned long used = 0, now;
	int status;
	pid_t ended;

	for (i = 0; i < PATIENCE; i++) {
		rest(1000);
		ended = waitpid(tool->pid, &status, WNOHANG);
		if (ended < 0)
			err(1, "waiting for %s", tool->name);
		if (ended) {
			add_ended(tool->name, status);
			return false;
		}
		if (!cpu_time(tool->pid, &now))
			continue;
		if (now >= used + AT_REST || !may_wait(tool->pid))
			without = 0;
		else if (next_id(before))
			return true;
		else if (++without == WITHOUT_PROGRAM) {
			kill(tool->pid, SIGKILL);
			waitpid(tool->pid, &status, 0);
			add_quiet(tool->name, "no program");
			return false;
		}
		used = now;
	}
	errx(1, "%s does not come to rest: %lu ms of the CPU", tool->name, used);
}

/* start - starts the tool of a line of the list, and stops it when it has its programs. */
static void start(char *line)
{
	struct tool *tool = &tools[attached];
	char *words[MAX_ARGUMENTS + 2] = { 0 }, *end;
	unsigned int before = newest_id(), count = 0;
	int status;

	for (words[0] = strtok(line, " \n"); words[count]; words[count] = strtok(NULL, " \n"))
		if (++count > MAX_ARGUMENTS)
			errx(1, "%s: too many arguments", words[0]);
	if (!count)
		errx(1, "an empty line in the list");
	snprintf(tool->name, sizeof(tool->name), "%s", words[0]);
	end = strstr(tool->name, "-libbpf");
	if (end)
		*end = 0;
	tool->pid = execute(words);
	if (!has_settled(tool, before))
		return;
	if (attached + 1 == MAX_TOOLS)
		errx(1, "too many tools");
	if (kill(tool->pid, SIGSTOP) || waitpid(tool->pid, &status, WUNTRACED) != tool->pid ||
	    !WIFSTOPPED(status))
		errx(1, "%s cannot be stopped", tool->name);
	printf("{\"line\":\"tool\",\"name\":\"%s\",\"programs\":%u}\n", tool->name,
	       count_after(before));
	fflush(stdout);
	attached++;
}

static void start_all(const char *dir)
{
	char line[256];
	FILE *list;

	if (chdir(dir))
		err(1, "%s", dir);
	list = fopen("list", "re");
	if (!list)
		err(1, "%s/list", dir);
	while (fgets(line, sizeof(line), list))
		start(line);
	fclose(list);
	if (chdir(".."))
		err(1, "..");
	if (!attached)
		errx(1, "no tool loaded a program");
}

static void end_all(void)
{
	unsigned int i;

	for (i = 0; i < attached; i++)
		kill(tools[i].pid, SIGKILL);
	for (i = 0; i < attached; i++)
		waitpid(tools[i].pid, NULL, 0);
}

static void measure(unsigned long id, unsigned int rounds, bool flush, unsigned int evict)
{
	unsigned int i;

	sweep(evict);
	rest(100);
	after_tick();
	tlb_flush();
	round_of_work(flush);
	tlb_region_start(id);
	for (i = 0; i < rounds; i++) {
		sweep(evict);
		round_of_work(flush);
	}
	tlb_region_stop();
}

static void count_runs(const char *on)
{
	int fd = must(open("/proc/sys/kernel/bpf_stats_enabled", O_WRONLY | O_CLOEXEC), "statistics");

	must(write(fd, on, 1), "bpf_stats_enabled");
	close(fd);
}

/* find_hot - how many programs run in so many rounds; their images become the hot ones. */
static unsigned int find_hot(unsigned int rounds, unsigned int *hot_images, unsigned long *runs)
{
	unsigned int ran = 0, i;

	for (i = 0; i < loaded; i++)
		programs[i].runs = runs_of(programs[i].id);
	count_runs("1");
	for (i = 0; i < rounds; i++)
		round_of_work(false);
	count_runs("0");
	for (i = 0; i < loaded; i++) {
		struct traced *program = &programs[i];

		program->runs = runs_of(program->id) - program->runs;
		*runs += program->runs;
		if (!program->runs)
			continue;
		ran++;
		memcpy(hot + *hot_images, images + program->first,
		       program->functions * sizeof(*hot));
		*hot_images += program->functions;
	}
	return ran;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; bool flush; unsigned int evict; } temperatures[] = {
		{ "warm", false, 0 }, { "flush", true, 0 },
		{ "evict64", false, 64 }, { "evict2000", false, 2000 },
	};
	unsigned int rounds, before, trampolines, ran, hot_images = 0, touched, i, id;
	unsigned long region, runs = 0;

	/* A round of work executes this. */
	if (argc == 1)
		return 0;
	if (argc != 4)
		errx(2, "usage: tools ID ROUNDS DIR");
	region = number(argv[1]);
	rounds = number(argv[2]);
	prepare_work(argv[0]);
	before = newest_id();
	start_all(argv[3]);
	for (id = before; (id = next_id(id)); )
		add_program(id);
	tlb_begin();
	rest(2500);
	trampolines = tell_model();
	if (system("./memory.sh loaded"))
		errx(1, "memory.sh failed");
	alarm(WORKLOAD);
	for (i = 0; i < sizeof(temperatures) / sizeof(*temperatures); i++)
		measure(region + i, rounds, temperatures[i].flush, temperatures[i].evict);
	ran = find_hot(rounds, &hot_images, &runs);
	touched = pages(hot, hot_images);
	/*
	 * A scenario's name must not hold what is counted: some programs are driven by time, and one
	 * more or less may run in another layout. So all are called hot here.
	 */
	for (i = 0; i < sizeof(temperatures) / sizeof(*temperatures); i++)
		printf("{\"line\":\"hot\",\"region\":%lu,\"mix\":\"libbpf-tools\",\"live\":%u,"
		       "\"hot\":%u,\"place\":\"as loaded\",\"temperature\":\"%s\",\"rounds\":%u,"
		       "\"hot_pages\":%u,\"live_bytes\":%u}\n", region + i, loaded, loaded,
		       temperatures[i].name, rounds, touched, bytes);
	printf("{\"line\":\"tools\",\"tools\":%u,\"quiet\":[%s],\"programs\":%u,\"functions\":%u,"
	       "\"bytes\":%u,\"trampolines\":%u,\"ran\":%u,\"runs\":%lu}\n", attached, quiet, loaded,
	       functions, bytes, trampolines, ran, runs);
	fflush(stdout);
	end_all();
	return 0;
}
