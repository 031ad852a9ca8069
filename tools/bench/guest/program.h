/* SPDX-License-Identifier: GPL-2.0 */
/*
 * BPF programs of exact jited sizes, on raw bpf(2): the guest has no libbpf, and libbpf
 * would load programs of its own.
 *
 * Each program is straight-line code that ends in a tail call to the next program of the
 * program array; skb->mark holds the index of the running program. Whoever fills the
 * array chooses which of the loaded programs run, and in which order.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"
#include "markers.h"

#define CHAIN 34	/* programs in one test run: the first and the kernel's 33 tail calls */
#define MAX_INSNS 65536

#define INSN(c, d, s, o, i) ((struct bpf_insn) {			\
	.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

/* A loaded program, and the address and length of its image. */
struct program {
	int fd;
	unsigned int length;
	unsigned long address;
};

static inline long bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

static inline int create_array(unsigned int entries)
{
	union bpf_attr attr = { 0 };
	int map;

	attr.map_type = BPF_MAP_TYPE_PROG_ARRAY;
	attr.key_size = 4;
	attr.value_size = 4;
	attr.max_entries = entries;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0)
		err(1, "BPF_MAP_CREATE");
	return map;
}

static inline void put(int map, uint32_t key, int fd)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = map;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&fd;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
		err(1, "BPF_MAP_UPDATE_ELEM");
}

/* drop - deletes an element, if the array has it. */
static inline void drop(int map, uint32_t key)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = map;
	attr.key = (unsigned long)&key;
	if (bpf(BPF_MAP_DELETE_ELEM, &attr) && errno != ENOENT)
		err(1, "BPF_MAP_DELETE_ELEM");
}

/*
 * assemble - makes the instructions of a program over the array @map, with @wide
 * and @narrow fillers of 16 and 4 bytes of arm64; returns how many.
 */
static inline unsigned int assemble(struct bpf_insn *insns, int map, unsigned int wide,
				    unsigned int narrow)
{
	const int mark = offsetof(struct __sk_buff, mark);
	unsigned int n = 0;

	if (2 * wide + narrow + 16 > MAX_INSNS)
		errx(1, "program too large");
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_7, 0, 0, 0);
	while (wide--) {
		/* Without 16-bit zeros or ones: four instructions. */
		insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_7, 0, 0, 0x12345678);
		insns[n++] = INSN(0, 0, 0, 0, 0x1abcdef0);
	}
	while (narrow--)
		insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_7, 0, 0, 1);
	insns[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_6, mark, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, 1);
	insns[n++] = INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_3, mark, 0);
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_6, 0, 0);
	insns[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, map);
	insns[n++] = INSN(0, 0, 0, 0, 0);
	insns[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call);
	insns[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_6, mark, 0);
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

static inline int load(const struct bpf_insn *insns, unsigned int n)
{
	union bpf_attr attr = { 0 };
	int fd;

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = n;
	attr.license = (unsigned long)"GPL";
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		err(1, "BPF_PROG_LOAD");
	return fd;
}

/* get_info - what the kernel tells of the program @fd. */
static inline void get_info(int fd, struct bpf_prog_info *info)
{
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(*info);
	attr.info.info = (unsigned long)info;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr))
		err(1, "BPF_OBJ_GET_INFO_BY_FD");
}

/* program_by_id - a file descriptor of the program with this id. */
static inline int program_by_id(unsigned int id)
{
	union bpf_attr attr = { 0 };
	int fd;

	attr.prog_id = id;
	fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (fd < 0)
		err(1, "BPF_PROG_GET_FD_BY_ID");
	return fd;
}

/* runs_of - how often the program with this id ran while statistics were on. */
static inline unsigned long runs_of(unsigned int id)
{
	struct bpf_prog_info info = { 0 };
	int fd = program_by_id(id);

	get_info(fd, &info);
	close(fd);
	return info.run_cnt;
}

/* inspect - the program @fd, with the address of its image. */
static inline struct program inspect(int fd)
{
	struct program image = { .fd = fd };
	struct bpf_prog_info info = { 0 };
	uint64_t address = 0;
	uint32_t length = 0;

	info.nr_jited_ksyms = 1;
	info.jited_ksyms = (unsigned long)&address;
	info.nr_jited_func_lens = 1;
	info.jited_func_lens = (unsigned long)&length;
	get_info(fd, &info);
	if (!address || !length)
		errx(1, "the program has no visible image: not jited, or kptr_restrict");
	image.address = address;
	image.length = length;
	return image;
}

/* shortest - the jited bytes of a program without fillers. */
static inline unsigned int shortest(int map)
{
	static struct bpf_insn insns[32];
	struct program image = inspect(load(insns, assemble(insns, map, 0, 0)));

	close(image.fd);
	return image.length;
}

/*
 * fillers - how many fillers make a program of @bytes, if a program without fillers has
 * @base. The JIT pads images to eight bytes.
 */
static inline void fillers(unsigned int bytes, unsigned int base, unsigned int *wide,
			   unsigned int *narrow)
{
	if (bytes < base || bytes % 8)
		errx(2, "%u bytes: at least %u, in steps of 8", bytes, base);
	*wide = (bytes - base) / 16;
	*narrow = (bytes - base) % 16 / 4;
}

static inline void rest(unsigned int milliseconds)
{
	struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	nanosleep(&pause, NULL);
}

static inline unsigned long nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000UL + now.tv_nsec;
}

/* allow_files - allows this many open files: each program is one. */
static inline void allow_files(unsigned long count)
{
	struct rlimit limit = { count, count };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		err(1, "setrlimit");
}

#endif
