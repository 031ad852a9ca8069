// SPDX-License-Identifier: GPL-2.0
/*
 * Makes and frees images of many kinds from many processes, until a number of them has
 * lived. Every program gives a number of its own, which is checked each time: memory that
 * two images have, that is reused too early, or of which a CPU executes old instructions,
 * gives a wrong one.
 */
#include "attach.h"
#include "generate.h"
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"

#define MAX_WORKERS 64
/* The programs that a worker of "filter" or "classic" has at a time. */
#define KEPT 16
#define PACKET_BYTES 64

static const char usage[] =
	"Usage: churn_progs [--images N] [--workers N] [--seed N]\n"
	"\n"
	"Makes programs, runs them, checks their results and frees them, in N workers (default:\n"
	"two for each CPU, at least one for each kind), until N images (default 2000) have lived.\n"
	"The kinds take turns: filter, classic, seccomp, tail, tracing, target, functions;\n"
	"the last one, which makes most of them, ends when nine tenths have lived through it.\n"
	"Prints how many images are done whenever a tenth is, and those of each kind at the end.\n";

struct kind {
	const char *name;
	/*
	 * One turn of a worker: makes and frees images. Returns how many, at least, or -1
	 * after run_fail().
	 */
	int (*turn)(unsigned int number);
};

/* The place of the last kind. */
enum { FUNCTIONS = 6 };

/* What all workers share. */
static struct shared {
	atomic_ulong images;	/* lived so far */
	atomic_ulong of_kind[8];
	atomic_bool failed;
} *shared;

static struct run run;
static unsigned int seed;
/* How many images are to live. */
static unsigned long wanted = 2000;

static unsigned int random_below(unsigned int limit)
{
	return rand_r(&seed) / 2 % limit;
}

/* Runs program @fd; -1 after run_fail() if it does not return @value. */
static int expect(const char *what, int fd, __u32 value)
{
	int err;
	__u32 got = run_filter(fd, &err);

	if (!err && got == value)
		return 0;
	run_fail(&run, "%s: got %#x, not %#x (error %d)", what, got, value, err);
	return -1;
}

/* Socket filters of all sizes; the last few stay and are run each time. */
static int turn_filter(unsigned int number)
{
	static int fds[KEPT];
	static __u32 values[KEPT];
	unsigned int slot = random_below(KEPT);

	if (fds[slot])
		close(fds[slot]);
	if (random_below(8)) {
		values[slot] = number;
		fds[slot] = load_constant(number);
	} else {
		fds[slot] = load_straight_line(3 + random_below(2000), &values[slot]);
	}
	if (fds[slot] < 0) {
		run_fail(&run, "load: %s", strerror(-fds[slot]));
		return -1;
	}
	for (int i = 0; i < KEPT; i++)
		if (fds[i] && expect("filter", fds[i], values[i]))
			return -1;
	return 1;
}

/* Classic filters that cut packets: each takes the place of the one before. */
static int turn_classic(unsigned int number)
{
	static int pairs[KEPT][2];
	unsigned int slot = number % KEPT, kept = 1 + number % (PACKET_BYTES - 1);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_STMT(BPF_RET | BPF_K, kept),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };
	char packet[PACKET_BYTES] = {};
	ssize_t got = -1;

	if (!pairs[slot][0] && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pairs[slot])) {
		run_fail(&run, "socketpair: %s", strerror(errno));
		return -1;
	}
	if (setsockopt(pairs[slot][1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program))) {
		run_fail(&run, "attach a classic filter: %s", strerror(errno));
		return -1;
	}
	if (send(pairs[slot][0], packet, sizeof(packet), MSG_DONTWAIT) == sizeof(packet))
		got = recv(pairs[slot][1], packet, sizeof(packet), MSG_DONTWAIT);
	if (got == kept)
		return 1;
	run_fail(&run, "a classic filter kept %zd bytes, not %u", got, kept);
	return -1;
}

/* In a process of its own: getppid() fails with @error from now on. Says so, and goes on. */
static void live_under_seccomp(unsigned int error, int ready)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };
	char right;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(1);
	for (unsigned int i = 0;; i++) {
		right = syscall(SYS_getppid) == -1 && errno == (int)error;
		if ((!i || !right) && write(ready, &right, 1) != 1)
			_exit(1);
		if (!right)
			_exit(1);
	}
}

/* A process with a filter of system calls, killed while the filter runs. */
static int turn_seccomp(unsigned int number)
{
	unsigned int error = 1 + number % 100;
	int ready[2], status;
	char answer[2];
	ssize_t got;
	pid_t child;

	if (pipe(ready)) {
		run_fail(&run, "pipe: %s", strerror(errno));
		return -1;
	}
	child = fork();
	if (!child)
		live_under_seccomp(error, ready[1]);
	close(ready[1]);
	got = read(ready[0], answer, 1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	/* A second answer came if a later result was wrong. */
	if (got != 1 || !answer[0] || read(ready[0], answer + 1, 1) > 0) {
		run_fail(&run, "a filter of system calls gave a wrong result, or none");
		close(ready[0]);
		return -1;
	}
	close(ready[0]);
	return 1;
}

/* A chain of two programs, whose second one changes all the time. */
static struct {
	int map, caller;
	atomic_uint newest, oldest;	/* what the second one may return */
	atomic_bool wrong, stopped;
} chain = { .map = -1 };

/* Runs the chain while another thread changes it: a result is never one of the past. */
static void *run_chain(void *unused)
{
	while (!atomic_load(&chain.stopped)) {
		unsigned int oldest = atomic_load(&chain.oldest);
		int err;
		__u32 got = run_filter(chain.caller, &err);

		if (err || got < oldest || got > atomic_load(&chain.newest))
			atomic_store(&chain.wrong, true);
	}
	return unused;
}

/* Makes the chain; 0, or -1 after run_fail(). */
static int make_chain(void)
{
	static pthread_t thread;
	const __u32 size = sizeof(int);
	int err;

	chain.map = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "chain", size, size, 1, NULL);
	struct bpf_insn insns[] = {
		INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, chain.map),
		INSN(0, 0, 0, 0, 0),
		MOV_IMM(BPF_REG_3, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call),
		MOV_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	chain.caller = chain.map < 0 ? -errno : load_filter(insns, ARRAY_SIZE(insns));
	if (chain.caller < 0) {
		run_fail(&run, "make a chain: %s", strerror(-chain.caller));
		return -1;
	}
	err = pthread_create(&thread, NULL, run_chain, NULL);
	if (err)
		run_fail(&run, "thread: %s", strerror(err));
	return err ? -1 : 0;
}

/* A tail call whose target is replaced while another thread calls. */
static int turn_tail(unsigned int number)
{
	const int slot = 0;
	int fd, err;

	if (chain.map < 0 && make_chain())
		return -1;
	fd = load_constant(number + 1);
	if (fd < 0) {
		run_fail(&run, "load: %s", strerror(-fd));
		return -1;
	}
	atomic_store(&chain.newest, number + 1);
	err = bpf_map_update_elem(chain.map, &slot, &fd, BPF_ANY);
	close(fd);
	if (err) {
		run_fail(&run, "replace the target of a tail call: %s", strerror(errno));
		return -1;
	}
	atomic_store(&chain.oldest, number + 1);
	if (expect("tail call", chain.caller, number + 1))
		return -1;
	if (!atomic_load(&chain.wrong))
		return 1;
	run_fail(&run, "a tail call went to a target of the past, or to none");
	return -1;
}

/* Calls the kernel's test functions until @object's program counts; -1 after run_fail(). */
static int fire(const char *name, struct bpf_object *object, int trigger)
{
	__u64 before = state_read(&run, object).hits;

	for (int tries = 0; run_event_again(tries); tries++) {
		run_test(&run, trigger, NULL, 0);
		if (state_read(&run, object).hits != before)
			return 0;
	}
	run_fail(&run, "%s did not fire", name);
	return -1;
}

/* Programs at functions of the kernel, attached and detached: trampolines come and go. */
static int turn_tracing(unsigned int number)
{
	static const char *const names[] = { "fentry", "fexit", "kprobe", "kretprobe", "tracepoint" };
	const char *name = names[number % ARRAY_SIZE(names)];
	static struct bpf_object *trigger;
	struct state state = { .pid = getpid() };
	struct bpf_object *object;
	struct bpf_link *link;
	int images = -1;

	if (!trigger)
		trigger = run_load(&run, "fentry");
	object = run_load(&run, name);
	if (!trigger || !object)
		return -1;
	state_write(&run, object, &state);
	link = bpf_program__attach(bpf_object__next_program(object, NULL));
	if (!link)
		run_fail(&run, "attach %s: %s", name, strerror(errno));
	else if (!fire(name, object, run_prog_fd(&run, trigger, "fentry")))
		images = number % ARRAY_SIZE(names) < 2 ? 2 : 1;
	bpf_link__destroy(link);
	bpf_object__close(object);
	return images;
}

/* Programs at a program, which calls them or is replaced by them. */
static int turn_target(unsigned int number)
{
	struct bpf_object *object = run_load(&run, "freplace_target");
	int target;

	if (!object)
		return -1;
	target = run_prog_fd(&run, object, "freplace_target");
	if (number % 3 == 0)
		attach_replacement(&run, target);
	else
		attach_trampoline(&run, target, number % 3 == 1 ? BPF_TRACE_FENTRY : BPF_TRACE_FEXIT);
	bpf_object__close(object);
	return run.result == PASS ? 4 : -1;
}

/* The most functions of a program: a short run has room for the other kinds, too. */
static unsigned int max_functions(void)
{
	if (wanted / 100 < 2)
		return 2;
	return wanted / 100 < MAX_FUNCTIONS ? wanted / 100 : MAX_FUNCTIONS;
}

/*
 * Programs of several functions, each an image: they are finalized in one load. Does
 * nothing when the kind has had its share.
 */
static int turn_functions(unsigned int number)
{
	unsigned int functions = 1 + (number * 37 + random_below(8)) % max_functions();
	__u32 value;
	int fd, err;

	if (atomic_load(&shared->of_kind[FUNCTIONS]) >= wanted / 10 * 9) {
		usleep(100 * 1000);
		return 0;
	}
	fd = load_functions(functions, &value);
	if (fd < 0) {
		run_fail(&run, "load %u functions: %s", functions, strerror(-fd));
		return -1;
	}
	err = expect("functions", fd, value);
	close(fd);
	return err ? -1 : (int)functions;
}

static const struct kind kinds[] = {
	{ "filter", turn_filter },
	{ "classic", turn_classic },
	{ "seccomp", turn_seccomp },
	{ "tail", turn_tail },
	{ "tracing", turn_tracing },
	{ "target", turn_target },
	[FUNCTIONS] = { "functions", turn_functions },
};

/* Counts what lived, and says when another tenth of what is wanted has. */
static void count(size_t kind, unsigned long images)
{
	unsigned long before = atomic_fetch_add(&shared->images, images);
	unsigned long tenth = wanted / 10 ? wanted / 10 : 1;

	atomic_fetch_add(&shared->of_kind[kind], images);
	if (before / tenth != (before + images) / tenth)
		printf("# %lu of %lu images\n", before + images, wanted);
}

/* Whether a worker goes on: until enough images lived, some of its kind among them. */
static bool wants_more(size_t kind)
{
	return atomic_load(&shared->images) < wanted || !atomic_load(&shared->of_kind[kind]);
}

/* The work of a worker; its exit status. */
static int work(size_t kind)
{
	for (unsigned int number = 0; wants_more(kind); number++) {
		int images;

		if (atomic_load(&shared->failed))
			return 0;
		images = kinds[kind].turn(number);
		if (images < 0 || run.result != PASS) {
			atomic_store(&shared->failed, true);
			printf("# %s, turn %u: %s\n", kinds[kind].name, number, run.why);
			return 1;
		}
		count(kind, images);
	}
	return 0;
}

static pid_t start_worker(unsigned int worker)
{
	pid_t child = fork();
	int status;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed += worker;
	status = work(worker % ARRAY_SIZE(kinds));
	atomic_store(&chain.stopped, true);
	fflush(stdout);
	_exit(status);
}

/* Waits for the workers; true if each has ended well. */
static bool all_ended_well(const pid_t *children, unsigned int workers)
{
	bool well = true;

	for (unsigned int i = 0; i < workers; i++) {
		int status;

		if (waitpid(children[i], &status, 0) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status)) {
			atomic_store(&shared->failed, true);
			printf("# worker %u (%s) ended with %#x\n", i,
			       kinds[i % ARRAY_SIZE(kinds)].name, status);
			well = false;
		}
	}
	return well;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "images", required_argument, NULL, 'i' },
		{ "workers", required_argument, NULL, 'w' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	unsigned long workers = 2 * sysconf(_SC_NPROCESSORS_ONLN);
	pid_t children[MAX_WORKERS];
	int option;
	bool well;

	if (workers < ARRAY_SIZE(kinds))
		workers = ARRAY_SIZE(kinds);
	seed = getpid();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'i') {
			wanted = strtoul(optarg, NULL, 0);
		} else if (option == 'w') {
			workers = strtoul(optarg, NULL, 0);
		} else if (option == 's') {
			seed = strtoul(optarg, NULL, 0);
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (!wanted || workers < ARRAY_SIZE(kinds) || workers > MAX_WORKERS) {
		fputs(usage, stderr);
		return 2;
	}
	setlinebuf(stdout);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || run_enter_folder()) {
		perror("churn_progs");
		return 1;
	}
	ksft_print_header();
	ksft_print_msg("seed %u, %lu workers\n", seed, workers);
	ksft_set_plan(1 + ARRAY_SIZE(kinds));
	for (unsigned int i = 0; i < workers; i++)
		children[i] = start_worker(i);
	well = all_ended_well(children, workers);
	ksft_test_result(well && atomic_load(&shared->images) >= wanted,
			 "%lu images or more lived, and every result was right\n", wanted);
	ksft_print_msg("%lu images lived\n", atomic_load(&shared->images));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned long images = atomic_load(&shared->of_kind[i]);

		ksft_print_msg("%lu of them: %s\n", images, kinds[i].name);
		ksft_test_result(images > 0, "images of kind %s lived\n", kinds[i].name);
	}
	ksft_finished();
}
