// SPDX-License-Identifier: GPL-2.0
#include "generate.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int load_filter(const struct bpf_insn *insns, size_t count)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "generated", "GPL", insns, count, NULL);

	return fd < 0 ? -errno : fd;
}

int load_constant(int value)
{
	struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, value), EXIT() };

	return load_filter(insns, sizeof(insns) / sizeof(*insns));
}

int load_straight_line(size_t count, __u32 *result)
{
	struct bpf_insn *insns = calloc(count, sizeof(*insns));
	__u32 value = 1, imm = 12345;
	int fd;

	if (!insns)
		return -ENOMEM;
	insns[0] = MOV_IMM(BPF_REG_0, value);
	for (size_t i = 1; i < count - 1; i++) {
		imm = imm * 1664525 + 1013904223;
		if (i % 2) {
			insns[i] = INSN(BPF_ALU64 | BPF_XOR | BPF_K, BPF_REG_0, 0, 0, imm);
			value ^= imm;
		} else {
			insns[i] = INSN(BPF_ALU64 | BPF_MUL | BPF_K, BPF_REG_0, 0, 0, imm | 1);
			value *= imm | 1;
		}
	}
	insns[count - 1] = EXIT();
	*result = value;
	fd = load_filter(insns, count);
	free(insns);
	return fd;
}

int load_functions(size_t count, __u32 *result)
{
	/* Two instructions a call and two in the function that is called. */
	struct bpf_insn insns[4 * MAX_FUNCTIONS];
	size_t main_insns = 3 + 2 * (count - 1), at = 0;

	if (!count || count > MAX_FUNCTIONS)
		return -EINVAL;
	*result = 0;
	insns[at++] = MOV_IMM(BPF_REG_6, 0);
	for (size_t i = 1; i < count; i++) {
		/* The offset counts from the instruction after the call. */
		int function = main_insns + 2 * (i - 1);

		insns[at] = INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, function - (int)at - 1);
		at++;
		insns[at++] = INSN(BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_6, BPF_REG_0, 0, 0);
	}
	insns[at++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_0, BPF_REG_6, 0, 0);
	insns[at++] = EXIT();
	for (size_t i = 1; i < count; i++) {
		insns[at++] = MOV_IMM(BPF_REG_0, 1000 + i);
		insns[at++] = EXIT();
		*result += 1000 + i;
	}
	return load_filter(insns, at);
}

__u32 run_filter(int fd, int *err)
{
	char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = sizeof(packet),
	);

	*err = bpf_prog_test_run_opts(fd, &opts) ? -errno : 0;
	return opts.retval;
}
