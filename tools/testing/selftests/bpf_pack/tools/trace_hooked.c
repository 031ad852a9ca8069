// SPDX-License-Identifier: GPL-2.0
/*
 * Traces the functions that the module redirects with BPF programs and counts their
 * calls; or sees that the kernel refuses programs that modify their return values.
 */
#include "run.h"
#include "generate.h"

#include <bpf/btf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"

#define FUNCTIONS 6
/* An errno of the kernel, "not supported", that libc does not know. */
#define KERNEL_ENOTSUPP 524

static const char usage[] =
	"Usage: trace_hooked KIND\n"
	"       trace_hooked --modify\n"
	"\n"
	"Attaches a BPF program of KIND (fentry, fexit, kprobe.multi or kretprobe.multi) to\n"
	"each function that bpf_pack redirects, prints \"ready\", prints \"FUNCTION CALLS\" for\n"
	"each and \"end\" whenever it gets SIGUSR1, and detaches at SIGTERM.\n"
	"\n"
	"  --modify  prints for each function the error with which the kernel refuses a\n"
	"            program that modifies its return value\n"
	"\n"
	"Status 4 if the kernel lacks such programs.\n";

/* In the order of hooked.bpf.c. */
static const char *const functions[FUNCTIONS] = {
	"bpf_prog_pack_alloc",
	"bpf_prog_pack_free",
	"bpf_jit_binary_pack_finalize",
	"bpf_arch_text_copy",
	"bpf_arch_text_poke",
	"bpf_fixup_call_args",
};

/* The attached programs, in the order of functions[], and their counts. */
static struct bpf_program *progs[FUNCTIONS];
static struct bpf_link *links[FUNCTIONS];
static const volatile __u64 *calls;

static int failed(const char *what, int err)
{
	bool missing = err == EOPNOTSUPP || err == KERNEL_ENOTSUPP || err == ENOSYS;

	printf("%s: %s\n", what, err == KERNEL_ENOTSUPP ? "not supported" : strerror(err));
	return missing ? KSFT_SKIP : KSFT_FAIL;
}

/* Leaves only the programs of @kind to be loaded, and finds that of each function. */
static void choose(struct bpf_object *object, const char *kind)
{
	struct bpf_program *prog;
	size_t length = strlen(kind);

	bpf_object__for_each_program(prog, object) {
		const char *section = bpf_program__section_name(prog);
		bool wanted = !strncmp(section, kind, length) && section[length] == '/';

		bpf_program__set_autoload(prog, wanted);
		for (int i = 0; wanted && i < FUNCTIONS; i++)
			if (!strcmp(section + length + 1, functions[i]))
				progs[i] = prog;
	}
}

static struct bpf_link *attach(int index, const char *kind)
{
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts,
		.syms = (const char **)&functions[index], .cnt = 1,
		.retprobe = !strcmp(kind, "kretprobe.multi"),
	);

	/* Without a symbol in @opts, libbpf reads all of kallsyms for each. */
	if (strstr(kind, ".multi"))
		return bpf_program__attach_kprobe_multi_opts(progs[index], NULL, &opts);
	return bpf_program__attach(progs[index]);
}

/* Prints the calls of each function, also those at which the kernel skipped the program. */
static void print_calls(void)
{
	for (int i = 0; i < FUNCTIONS; i++) {
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_prog_get_info_by_fd(bpf_program__fd(progs[i]), &info, &size))
			printf("info of %s: %s\n", functions[i], strerror(errno));
		printf("%s %llu\n", functions[i],
		       (unsigned long long)(calls[i] + info.recursion_misses));
	}
	puts("end");
}

static int trace(const char *kind)
{
	struct bpf_object *object = bpf_object__open("progs/hooked.bpf.o");
	struct bpf_map *map;
	sigset_t signals;
	size_t size = 0;
	int signal;

	if (!object)
		return failed("open", errno);
	choose(object, kind);
	for (int i = 0; i < FUNCTIONS; i++)
		if (!progs[i])
			return failed(kind, EINVAL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	if (bpf_object__load(object))
		return failed("load", errno);
	map = bpf_object__find_map_by_name(object, ".bss");
	calls = map ? bpf_map__initial_value(map, &size) : NULL;
	if (size < FUNCTIONS * sizeof(*calls))
		return failed("counts", EINVAL);
	for (int i = 0; i < FUNCTIONS; i++) {
		links[i] = attach(i, kind);
		if (!links[i])
			return failed(functions[i], errno);
	}
	puts("ready");
	while (!sigwait(&signals, &signal) && signal == SIGUSR1)
		print_calls();
	for (int i = 0; i < FUNCTIONS; i++)
		bpf_link__destroy(links[i]);
	bpf_object__close(object);
	return 0;
}

/* 0, or the error with which the kernel refuses to modify what @function returns. */
static int try_modify(const struct btf *btf, const char *function)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, 0), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_MODIFY_RETURN);
	int id = btf__find_by_name_kind(btf, function, BTF_KIND_FUNC), fd;

	if (id < 0)
		return -id;
	opts.attach_btf_id = id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "modify", "GPL", insns, ARRAY_SIZE(insns), &opts);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int modify(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int err, status = 0;

	if (!btf)
		return failed("vmlinux BTF", errno);
	/* A function made for that: if it is refused, too, refusals prove nothing. */
	err = try_modify(btf, "bpf_modify_return_test");
	if (err) {
		printf("bpf_modify_return_test: %s\n", strerror(err));
		return KSFT_SKIP;
	}
	for (int i = 0; i < FUNCTIONS; i++) {
		err = try_modify(btf, functions[i]);
		printf("%s: %s\n", functions[i], err ? strerror(err) : "accepted");
		if (!err)
			status = KSFT_FAIL;
	}
	btf__free(btf);
	return status;
}

int main(int argc, char **argv)
{
	if (argc != 2 || !strcmp(argv[1], "--help")) {
		fputs(usage, argc == 2 ? stdout : stderr);
		return argc == 2 ? 0 : 2;
	}
	setlinebuf(stdout);
	if (run_enter_folder())
		return KSFT_FAIL;
	return strcmp(argv[1], "--modify") ? trace(argv[1]) : modify();
}
