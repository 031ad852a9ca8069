/* SPDX-License-Identifier: GPL-2.0 */
/* Programs of raw instructions, of any size and with a known result. */
#ifndef BPF_PACK_GENERATE_H
#define BPF_PACK_GENERATE_H

#include <linux/bpf.h>
#include <stddef.h>

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV_IMM(dst, imm) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* The most instructions that the verifier takes. */
#define MAX_INSNS 1000000
/* The most functions that it takes. */
#define MAX_FUNCTIONS 256

/*
 * Loads a socket filter that returns @value. 0 or more: its file descriptor;
 * else a negative errno.
 */
int load_constant(int value);

/*
 * Loads a socket filter of @count instructions without a branch, each of about 12 bytes
 * when compiled; @result gets what it returns. Returns as load_constant() does.
 */
int load_straight_line(size_t count, __u32 *result);

/*
 * Loads a socket filter of @count functions, 1 to MAX_FUNCTIONS: the first one calls each
 * of the others and returns the sum of their results, in @result. Returns as
 * load_constant() does.
 */
int load_functions(size_t count, __u32 *result);

/* Loads any socket filter. Returns as load_constant() does. */
int load_filter(const struct bpf_insn *insns, size_t count);

/* Runs program @fd once; its result. @err gets 0 or a negative errno. */
__u32 run_filter(int fd, int *err);

#endif /* BPF_PACK_GENERATE_H */
