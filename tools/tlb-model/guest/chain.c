// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a chain of BPF programs that tail-call one another, each of an exact
 * jited size without branches, so that a run fetches every page of all images.
 *
 * Region ID + 100 is the first run with an empty model, region ID the rest.
 * On raw bpf(2): the guest has no libbpf, and libbpf would load programs of its own.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"
#include "markers.h"

#define MAX_PROGS 33	/* the kernel's bound on tail calls */
#define MAX_INSNS 65536

#define INSN(c, d, s, o, i) ((struct bpf_insn) {			\
	.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

static struct bpf_insn insns[MAX_INSNS];

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

/* Four instructions of arm64, two slots of BPF: a constant without 16-bit zeros or ones. */
static unsigned int emit_wide(unsigned int n)
{
	insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_7, 0, 0, 0x12345678);
	insns[n++] = INSN(0, 0, 0, 0, 0x1abcdef0);
	return n;
}

/*
 * load - loads program number @index of a chain over the program array @map,
 * with @wide and @narrow fillers of 16 and 4 bytes; it returns @index if the
 * chain ends here.
 */
static int load(int map, unsigned int index, unsigned int wide, unsigned int narrow)
{
	union bpf_attr attr = { 0 };
	unsigned int n = 0, i;
	int fd;

	if (2 * wide + narrow + 16 > MAX_INSNS)
		errx(1, "program too large");
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_7, 0, 0, 0);
	for (i = 0; i < wide; i++)
		n = emit_wide(n);
	for (i = 0; i < narrow; i++)
		insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_7, 0, 0, 1);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
	insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, map);
	insns[n++] = INSN(0, 0, 0, 0, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, index + 1);
	insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, index);
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = n;
	attr.license = (unsigned long)"GPL";
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		err(1, "BPF_PROG_LOAD");
	return fd;
}

/* image - the address and the jited length of a program. */
static unsigned long image(int fd, unsigned int *length)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { 0 };
	uint64_t address = 0;
	uint32_t size = 0;

	info.nr_jited_ksyms = 1;
	info.jited_ksyms = (unsigned long)&address;
	info.nr_jited_func_lens = 1;
	info.jited_func_lens = (unsigned long)&size;
	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (unsigned long)&info;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr))
		err(1, "BPF_OBJ_GET_INFO_BY_FD");
	if (!address || !size)
		errx(1, "the program has no visible image: not jited, or kptr_restrict");
	*length = size;
	return address;
}

/* run - runs the chain; it must reach its last program. */
static void run(int fd, unsigned int repeat, unsigned int last)
{
	static unsigned char packet[64];
	union bpf_attr attr = { 0 };

	attr.test.prog_fd = fd;
	attr.test.data_in = (unsigned long)packet;
	attr.test.data_size_in = sizeof(packet);
	attr.test.repeat = repeat;
	if (bpf(BPF_PROG_TEST_RUN, &attr))
		err(1, "BPF_PROG_TEST_RUN");
	if (attr.test.retval != last)
		errx(1, "the chain ended at program %u, not %u", attr.test.retval, last);
}

int main(int argc, char **argv)
{
	unsigned int progs, bytes, runs, length, wide, narrow, i;
	unsigned long id, address, low = -1UL, high = 0;
	struct timespec pause = { .tv_sec = 1 };
	union bpf_attr attr = { 0 };
	int map, fds[MAX_PROGS];

	if (argc != 5)
		errx(2, "usage: chain ID PROGRAMS BYTES RUNS");
	id = number(argv[1]);
	progs = number(argv[2]);
	bytes = number(argv[3]);
	runs = number(argv[4]);
	if (progs < 1 || progs > MAX_PROGS)
		errx(2, "1 to %u programs", MAX_PROGS);

	attr.map_type = BPF_MAP_TYPE_PROG_ARRAY;
	attr.key_size = 4;
	attr.value_size = 4;
	attr.max_entries = MAX_PROGS + 1;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		err(1, "BPF_MAP_CREATE");

	/* A first program shows the length without fillers. */
	fds[0] = load(map, 0, 0, 0);
	image(fds[0], &length);
	close(fds[0]);
	if (bytes < length || bytes % 4)
		errx(2, "at least %u bytes, in steps of 4", length);
	wide = (bytes - length) / 16;
	narrow = (bytes - length) % 16 / 4;
	/* Its memory is free after a grace period; else the chain would not be contiguous. */
	nanosleep(&pause, NULL);

	for (i = 0; i < progs; i++) {
		uint32_t key = i;

		fds[i] = load(map, i, wide, narrow);
		address = image(fds[i], &length);
		if (length != bytes)
			errx(1, "program %u has %u bytes, not %u", i, length, bytes);
		if (address < low)
			low = address;
		if (address + length > high)
			high = address + length;
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = map;
		attr.key = (unsigned long)&key;
		attr.value = (unsigned long)&fds[i];
		if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
			err(1, "BPF_MAP_UPDATE_ELEM");
	}
	tlb_class_range(0, low, high);
	nanosleep(&pause, NULL);

	after_tick();
	tlb_flush();
	tlb_region_start(id + 100);
	run(fds[0], 1, progs - 1);
	tlb_region_stop();
	tlb_region_start(id);
	run(fds[0], runs, progs - 1);
	tlb_region_stop();
	printf("chain %lu: %u programs of %u bytes at %#lx to %#lx, %lu pages\n", id, progs,
	       bytes, low, high, (high + PAGE - 1) / PAGE - low / PAGE);
	return 0;
}
