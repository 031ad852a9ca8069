// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the kernel's JIT fail in all ways that need nothing but a program, and sees
 * that the program runs in the interpreter, and that no image and no charged byte is
 * left.
 */
#include "charge.h"
#include "generate.h"
#include "status.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "kselftest.h"

#define HARDEN "/proc/sys/net/core/bpf_jit_harden"
/* Instructions of a body: a conditional branch of BPF can just jump over them. */
#define BODY 32760
#define MAX_TRIES 5
/* An offset that the JIT cannot add to an address with one instruction. */
#define FAR_OFFSET 4104

#ifndef HWCAP_ATOMICS
#define HWCAP_ATOMICS (1 << 8)
#endif

/* Fills @insns with a body of @count instructions that keeps R0. */
typedef void body_fn(struct bpf_insn *insns, size_t count);

/*
 * Without LSE atomics each becomes nine instructions, and the branch over BODY of
 * them has more than the 1 MiB that a conditional branch reaches. The JIT sees that
 * when it has memory for the image already.
 */
static void body_atomics(struct bpf_insn *insns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		insns[i] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_6, BPF_REG_1, FAR_OFFSET,
				BPF_CMPXCHG);
}

/*
 * With bpf_jit_harden each becomes three instructions of BPF, too many for a branch
 * of BPF. The JIT sees that before it asks for memory.
 */
static void body_constants(struct bpf_insn *insns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		insns[i] = INSN(BPF_ALU64 | BPF_XOR | BPF_K, BPF_REG_2, 0, 0, 0x5eed0000 + i);
}

/*
 * Loads a function that returns 7, with @body between a branch and its target. If
 * @nested, a main function calls it and adds 100.
 */
static int load_body(body_fn *body, bool nested)
{
	struct bpf_insn *insns = calloc(BODY + 16, sizeof(*insns)), *insn = insns;
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "far", 4, FAR_OFFSET + 8, 1, NULL), fd;

	if (!insns || map < 0) {
		free(insns);
		return map < 0 ? -errno : -ENOMEM;
	}
	if (nested) {
		*insn++ = INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 2);
		*insn++ = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_0, 0, 0, 100);
		*insn++ = EXIT();
	}
	/* R6 = the address of the map's value. */
	*insn++ = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_6, BPF_PSEUDO_MAP_VALUE, 0, map);
	*insn++ = INSN(0, 0, 0, 0, 0);
	/* The branch is never taken, but the verifier does not know the random number. */
	*insn++ = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
	*insn++ = INSN(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_0, 0, 0, 31);
	*insn++ = MOV_IMM(BPF_REG_1, 0);
	*insn++ = MOV_IMM(BPF_REG_2, 0);
	*insn++ = INSN(BPF_JMP | BPF_JGT | BPF_K, BPF_REG_0, 0, BODY + 1, 1);
	*insn++ = MOV_IMM(BPF_REG_0, 7);
	body(insn, BODY);
	insn += BODY;
	*insn++ = MOV_IMM(BPF_REG_0, 7);
	*insn++ = EXIT();
	fd = load_filter(insns, insn - insns);
	free(insns);
	close(map);
	return fd;
}

/* Memory in use for images; @images is a negative errno without bpf_pack. */
struct footprint {
	long long images;
	long long charged;
};

static struct footprint before;

static struct footprint footprint_now(void)
{
	/* The charge first: measuring it waits until freed images are gone. */
	long long charged = charge_measure();

	return (struct footprint){ status_value("images"), charged };
}

/* Two cases for program @fd: how it runs, and what is left when it is closed. */
static void report(const char *name, int fd, __u32 want)
{
	struct footprint after;
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info), got = 0;
	int err = fd < 0 ? fd : 0;

	if (fd >= 0) {
		got = run_filter(fd, &err);
		bpf_prog_get_info_by_fd(fd, &info, &size);
		close(fd);
	}
	if (err)
		ksft_print_msg("%s: %s\n", name, strerror(-err));
	if (info.jited_prog_len)
		ksft_print_msg("%s: jited to %u bytes\n", name, info.jited_prog_len);
	if (got != want)
		ksft_print_msg("%s: got %u, not %u\n", name, got, want);
	ksft_test_result(!err && !info.jited_prog_len && got == want,
			 "%s: not jited, runs in the interpreter\n", name);
	/* The kernel frees images some time later. */
	for (int tries = 0; tries < MAX_TRIES; tries++) {
		after = footprint_now();
		if (!memcmp(&after, &before, sizeof(after)))
			break;
	}
	if (memcmp(&after, &before, sizeof(after)))
		ksft_print_msg("%s: images %lld -> %lld, charged bytes %lld -> %lld\n", name,
			       before.images, after.images, before.charged, after.charged);
	ksft_test_result(!memcmp(&after, &before, sizeof(after)), "%s: no image and no charge is left\n",
			 name);
}

static void skip(const char *name, const char *why)
{
	static const char *const what[] = { "not jited, runs in the interpreter",
					    "no image and no charge is left" };

	for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
		ksft_cnt.ksft_xskip++;
		printf("ok %u %s: %s # SKIP %s\n", ksft_test_num(), name, what[i], why);
	}
}

static int harden(int level)
{
	FILE *file = fopen(HARDEN, "r+e");
	int before = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &before) != 1)
		before = -1;
	rewind(file);
	fprintf(file, "%d\n", level);
	return fclose(file) ? -1 : before;
}

static void branch_out_of_range(void)
{
	if (getauxval(AT_HWCAP) & HWCAP_ATOMICS) {
		skip("branch out of range", "this CPU has LSE atomics (try -cpu cortex-a72)");
		skip("branch out of range in a subprogram",
		     "this CPU has LSE atomics (try -cpu cortex-a72)");
		return;
	}
	report("branch out of range", load_body(body_atomics, false), 7);
	report("branch out of range in a subprogram", load_body(body_atomics, true), 107);
}

static void blinding_out_of_range(void)
{
	int old = harden(2), single, nested;

	if (old < 0) {
		skip("constants cannot be blinded", "no net.core.bpf_jit_harden");
		skip("constants of a subprogram cannot be blinded", "no net.core.bpf_jit_harden");
		return;
	}
	single = load_body(body_constants, false);
	nested = load_body(body_constants, true);
	harden(old);
	report("constants cannot be blinded", single, 7);
	report("constants of a subprogram cannot be blinded", nested, 107);
}

static void beyond_limit(void)
{
	bool jited;
	int fd;

	fd = charge_try(1, &jited);
	report("jit_limit reached", fd, 42);
}

int main(void)
{
	int err = charge_prepare();

	setlinebuf(stdout);
	ksft_print_header();
	if (err)
		ksft_exit_skip("no process bound by the limit: %s\n", strerror(-err));
	ksft_set_plan(10);
	before = footprint_now();
	branch_out_of_range();
	blinding_out_of_range();
	beyond_limit();
	charge_finish();
	ksft_finished();
}
