// SPDX-License-Identifier: GPL-2.0
/*
 * Measures the cost of the distance between program memory and the kernel's text: the
 * length and the instructions of programs that call helpers, and the instructions that
 * an empty program at the entry of a function adds to that function.
 *
 * Regions are numbered from ID on, and each has one JSON line.
 */
#include "text_pages.h"

#define RUNS 1000
#define FUNCTION "__arm64_sys_getpid"

/* The parts of the kernel's type information (BTF) that lead to a function. */
#define BTF_KIND(info) ((info) >> 24 & 0x1f)
#define BTF_COUNT(info) ((info) & 0xffff)
#define KIND_FUNC 12

struct btf {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t header, types_at, types_bytes, names_at, names_bytes;
};

struct btf_type {
	uint32_t name, info, size;
};

/* after - the number of bytes that follow a type of this kind. */
static unsigned int after(uint32_t info)
{
	switch (BTF_KIND(info)) {
	case 1:		/* integer */
	case 14:	/* variable */
	case 17:	/* declaration tag */
		return 4;
	case 3:		/* array */
		return 12;
	case 4:		/* structure */
	case 5:		/* union */
	case 15:	/* section */
	case 19:	/* enumeration of 64 bits */
		return 12 * BTF_COUNT(info);
	case 6:		/* enumeration */
	case 13:	/* prototype */
		return 8 * BTF_COUNT(info);
	default:
		return 0;
	}
}

/* function_id - the number of the kernel's function @name. */
static unsigned int function_id(const char *name)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	static unsigned char data[32 << 20];
	const struct btf *btf = (const void *)data;
	const unsigned char *at, *end;
	unsigned int id = 1;
	FILE *file = fopen(path, "r");
	size_t bytes;

	if (!file)
		err(1, "%s", path);
	bytes = fread(data, 1, sizeof(data), file);
	fclose(file);
	if (bytes < sizeof(*btf) || bytes == sizeof(data) || btf->magic != 0xeb9f)
		errx(1, "%s: not understood", path);
	at = data + btf->header + btf->types_at;
	end = at + btf->types_bytes;
	while (at < end) {
		const struct btf_type *type = (const void *)at;

		if (BTF_KIND(type->info) == KIND_FUNC &&
		    !strcmp((char *)data + btf->header + btf->names_at + type->name, name))
			return id;
		at += sizeof(*type) + after(type->info);
		id++;
	}
	errx(1, "%s: no function %s", path, name);
}

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
	unsigned int i;

	rest(100);
	syscall(__NR_getpid);
	after_tick();
	tlb_region_start(id);
	for (i = 0; i < RUNS; i++)
		syscall(__NR_getpid);
	tlb_region_stop();
	printf("{\"line\":\"entry\",\"region\":%lu,\"what\":\"%s\",\"calls\":%u}\n", id, what, RUNS);
}

/* attach - attaches an empty program to the entry of FUNCTION, until the result is closed. */
static int attach(unsigned long id)
{
	struct bpf_insn insns[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = { 0 };
	int program, link;

	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_FENTRY;
	attr.attach_btf_id = function_id(FUNCTION);
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = sizeof(insns) / sizeof(*insns);
	attr.license = (unsigned long)"GPL";
	program = bpf(BPF_PROG_LOAD, &attr);
	if (program < 0)
		err(1, "BPF_PROG_LOAD for " FUNCTION);
	memset(&attr, 0, sizeof(attr));
	attr.raw_tracepoint.prog_fd = program;
	rest(100);
	after_tick();
	tlb_region_start(id);
	link = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
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
