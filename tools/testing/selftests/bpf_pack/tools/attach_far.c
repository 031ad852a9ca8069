// SPDX-License-Identifier: GPL-2.0
/*
 * Attaches replacements and trampolines that a program cannot reach with a branch: the
 * program lies in a pack near the kernel's text and they in the stock allocator's
 * memory, or the reverse. The branch then goes through the program's PLT, whose target
 * is data in its image.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"

#define CONTROL "/sys/kernel/debug/bpf_pack/control"
#define ROUNDS 5

/* Writes "drain" or "serve" to control, which says where new images go. */
static void control(struct run *run, const char *word)
{
	int fd = open(CONTROL, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, word, strlen(word)) < 0)
		run_fail(run, "%s: %s", CONTROL, strerror(errno));
	close(fd);
}

static void trampoline(struct run *run, int target)
{
	attach_trampoline(run, target, BPF_TRACE_FENTRY);
}

/* One case: @target_word says where the target goes, @other_word where the rest goes. */
static void attach(const char *name, const char *target_word, const char *other_word,
		   void (*go)(struct run *run, int target))
{
	struct run run = { .expect = EXPECT_ANY };
	struct bpf_object *target;

	control(&run, target_word);
	target = run_load(&run, "freplace_target");
	if (target) {
		int fd = run_prog_fd(&run, target, "freplace_target");

		run_expect(&run, "result before", run_packet(&run, fd), TARGET_ORIGINAL);
		control(&run, other_word);
		for (int i = 0; i < ROUNDS && run.result == PASS; i++)
			go(&run, fd);
	}
	bpf_object__close(target);
	control(&run, "serve");
	if (run.result == FAIL)
		ksft_print_msg("%s: %s\n", name, run.why);
	ksft_test_result(run.result == PASS, "%s: right results before, meanwhile and after\n", name);
}

int main(void)
{
	ksft_print_header();
	ksft_set_plan(6);
	if (run_enter_folder())
		ksft_exit_fail_msg("own folder: %s\n", strerror(errno));
	run_prepare();
	attach("target and replacement in packs", "serve", "serve", attach_replacement);
	attach("target in a pack, replacement far from it", "serve", "drain", attach_replacement);
	attach("replacement in a pack, target far from it", "drain", "serve", attach_replacement);
	attach("target and trampoline in packs", "serve", "serve", trampoline);
	attach("target in a pack, trampoline far from it", "serve", "drain", trampoline);
	attach("trampoline in a pack, target far from it", "drain", "serve", trampoline);
	ksft_finished();
}
