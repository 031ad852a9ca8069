// SPDX-License-Identifier: GPL-2.0
/*
 * Measures the cost of the distance between program memory and the kernel's text: the
 * length and the instructions of programs that call helpers, and the instructions that
 * an empty program at the entry of a function adds to that function.
 *
 * Regions are numbered from ID on, and each has one JSON line.
 */
#include "btf.h"
#include "text_pages.h"

#define RUNS 1000
#define FUNCTION "__arm64_sys_getpid"

/* helpers - loads a program that calls @calls helpers, which the JIT does not inline. */
static struct program helpers(unsigned int calls)
{
	static struct bpf_insn insns[64];
	unsigned int n = 0;

	while (calls--)
		insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_numa_node_id);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return inspect(load(insns, n));
}

static void test_run(int fd, unsigned int repeat)
{
	static unsigned char packet[64];
	union bpf_attr attr = { 0 };

	attr.test.prog_fd = fd;
	attr.test.data_in = (unsigned long)packet;
	attr.test.data_size_in = sizeof(packet);
	attr.test.repeat = repeat;
	if (bpf(BPF_PROG_TEST_RUN, &attr))
		err(1, "BPF_PROG_TEST_RUN");
}

static void measure_helpers(unsigned long id, unsigned int calls)
{
	struct program image = helpers(calls);

	classify(&image, 1);
	rest(100);
	test_run(image.fd, 1);
	after_tick();
	tlb_region_start(id);
	test_run(image.fd, RUNS);
	tlb_region_stop();
	printf("{\"line\":\"calls\",\"region\":%lu,\"helpers\":%u,\"runs\":%u,\"length\":%u,"
	       "\"address\":\"%#lx\"}\n", id, calls, RUNS, image.length, image.address);
	close(image.fd);
}

static void measure_getpid(unsigned long id, const char *what)
{
	call_getpid(id, 100, RUNS);
	printf("{\"line\":\"entry\",\"region\":%lu,\"what\":\"%s\",\"calls\":%u}\n", id, what, RUNS);
}

/* attach - attaches an empty program to the entry of FUNCTION, until the result is closed. */
static int attach(unsigned long id)
{
	int program = load_tracing(function_id(FUNCTION), BPF_TRACE_FENTRY), link;

	if (program < 0)
		err(1, "BPF_PROG_LOAD for " FUNCTION);
	rest(100);
	after_tick();
	tlb_region_start(id);
	link = attach_program(program);
	tlb_region_stop();
	if (link < 0)
		err(1, "attaching to " FUNCTION);
	printf("{\"line\":\"attach\",\"region\":%lu}\n", id);
	close(program);
	return link;
}

int main(int argc, char **argv)
{
	static const unsigned int calls[] = { 1, 7, 20 };
	unsigned long id;
	unsigned int i;
	int link;

	if (argc != 2)
		errx(2, "usage: calls ID");
	id = number(argv[1]);
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		measure_helpers(id++, calls[i]);
	measure_getpid(id++, "without");
	link = attach(id++);
	rest(1000);
	measure_getpid(id++, "with");
	close(link);
	rest(1000);
	measure_getpid(id++, "after");
	return 0;
}
