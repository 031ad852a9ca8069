/* SPDX-License-Identifier: GPL-2.0 */
/* The functions in the kernel's type information (BTF), and programs at their entry. */
#ifndef BENCH_BTF_H
#define BENCH_BTF_H

#include <stdbool.h>

#include "program.h"

/* The parts of the type information that lead to a function. */
#define BTF_KIND(info) ((info) >> 24 & 0x1f)
#define BTF_COUNT(info) ((info) & 0xffff)
#define BTF_FUNC 12
#define BTF_PATH "/sys/kernel/btf/vmlinux"

struct btf {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t header, types_at, types_bytes, names_at, names_bytes;
};

struct btf_type {
	uint32_t name, info, size;
};

/* A function; all zeros: the one before the first. */
struct function {
	unsigned int id;
	const char *name;
	/* Bytes of types before the next one. */
	unsigned int next;
};

/* btf_after - the number of bytes that follow a type of this kind. */
static inline unsigned int btf_after(uint32_t info)
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

/* kernel_btf - the kernel's type information. */
static inline const struct btf *kernel_btf(void)
{
	static unsigned char data[32 << 20];
	const struct btf *btf = (const void *)data;
	size_t bytes;
	FILE *file;

	if (btf->magic)
		return btf;
	file = fopen(BTF_PATH, "r");
	if (!file)
		err(1, BTF_PATH);
	bytes = fread(data, 1, sizeof(data), file);
	fclose(file);
	if (bytes < sizeof(*btf) || bytes == sizeof(data) || btf->magic != 0xeb9f)
		errx(1, BTF_PATH ": not understood");
	return btf;
}

/* next_function - the function after this one, if there is one. */
static inline bool next_function(struct function *function)
{
	const struct btf *btf = kernel_btf();
	const char *types = (const char *)btf + btf->header + btf->types_at;
	const char *names = (const char *)btf + btf->header + btf->names_at;

	while (function->next < btf->types_bytes) {
		const struct btf_type *type = (const void *)(types + function->next);

		function->id++;
		function->next += sizeof(*type) + btf_after(type->info);
		if (BTF_KIND(type->info) == BTF_FUNC) {
			function->name = names + type->name;
			return true;
		}
	}
	return false;
}

/* function_id - the number of the kernel's function @name. */
static inline unsigned int function_id(const char *name)
{
	struct function function = { 0 };

	while (next_function(&function))
		if (!strcmp(function.name, name))
			return function.id;
	errx(1, BTF_PATH ": no function %s", name);
}

/* load_tracing - loads an empty program for the function @id, or returns -1. */
static inline int load_tracing(unsigned int id, enum bpf_attach_type type)
{
	struct bpf_insn insns[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = { 0 };

	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = type;
	attr.attach_btf_id = id;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = sizeof(insns) / sizeof(*insns);
	attr.license = (unsigned long)"GPL";
	return bpf(BPF_PROG_LOAD, &attr);
}

/* call_getpid - a region of @times calls of getpid(), after @pause milliseconds of rest. */
static inline void call_getpid(unsigned long id, unsigned int pause, unsigned int times)
{
	rest(pause);
	syscall(__NR_getpid);
	after_tick();
	tlb_region_start(id);
	while (times--)
		syscall(__NR_getpid);
	tlb_region_stop();
}

/* attach_program - attaches a program to its function, until the result is closed; or -1. */
static inline int attach_program(int program)
{
	union bpf_attr attr = { 0 };

	attr.raw_tracepoint.prog_fd = program;
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

/*
 * attach_entry - attaches an empty program to the entry of the function @id, until the result
 * is closed; -1 if the kernel does not allow that.
 */
static inline int attach_entry(unsigned int id)
{
	int program = load_tracing(id, BPF_TRACE_FENTRY), link;

	if (program < 0)
		return -1;
	link = attach_program(program);
	close(program);
	return link;
}

#endif
