// SPDX-License-Identifier: GPL-2.0
/*
 * Attaches to a program from out of branch range: the program lies in a pack
 * near the kernel's text and what is attached to it in the stock allocator's
 * memory, and the other way round. The branch then goes through the program's
 * PLT, whose target is data in its image.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"

#define CONTROL "/sys/kernel/debug/bpf_pack/control"
#define ROUNDS 5
/* What freplace_target.bpf.c returns by itself and with freplace.bpf.c. */
#define ORIGINAL 101
#define REPLACED (201 + PACKET)

/* Says where new images go: "drain" or "serve". */
static void control(struct run *run, const char *word)
{
	int fd = open(CONTROL, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, word, strlen(word)) < 0)
		run_fail(run, "%s: %s", CONTROL, strerror(errno));
	close(fd);
}

/* Opens and loads @name for the function "replaceable" of program @target. */
static struct bpf_object *load_for(struct run *run, const char *name, int target)
{
	struct bpf_object *object = run_open(run, name);
	struct bpf_program *prog;

	if (!object)
		return NULL;
	prog = bpf_object__next_program(object, NULL);
	if (bpf_program__set_attach_target(prog, target, "replaceable") ||
	    bpf_object__load(object)) {
		run_fail(run, "load %s: %s", name, strerror(errno));
		bpf_object__close(object);
		return NULL;
	}
	return object;
}

/* Attaches and detaches a replacement of the target's function. */
static void replace(struct run *run, int target, struct bpf_object *object)
{
	struct bpf_program *prog = bpf_object__next_program(object, NULL);
	struct bpf_link *link;

	link = bpf_program__attach_freplace(prog, 0, NULL);
	if (!link) {
		run_fail(run, "attach: %s", strerror(errno));
		return;
	}
	run_expect(run, "result while replaced", run_packet(run, target), REPLACED);
	bpf_link__destroy(link);
	run_expect(run, "result after", run_packet(run, target), ORIGINAL);
}

/* Attaches and detaches a trampoline to the target's function. */
static void trace(struct run *run, int target, struct bpf_object *object)
{
	struct bpf_program *prog = bpf_object__next_program(object, NULL);
	struct state state = { .pid = getpid() };
	struct bpf_link *link;

	state_write(run, object, &state);
	link = bpf_program__attach_trace(prog);
	if (!link) {
		run_fail(run, "attach: %s", strerror(errno));
		return;
	}
	run_expect(run, "result while traced", run_packet(run, target), ORIGINAL);
	run_expect(run, "hits", state_read(run, object).hits, 1);
	bpf_link__destroy(link);
	run_expect(run, "result after", run_packet(run, target), ORIGINAL);
	run_expect(run, "hits after", state_read(run, object).hits, 1);
}

/* One case: the target with new images as @first says, the rest as @second. */
static void attach(const char *name, const char *first, const char *second, const char *program,
		   void (*go)(struct run *, int, struct bpf_object *))
{
	struct run run = { .expect = EXPECT_ANY };
	struct bpf_object *target, *object;

	control(&run, first);
	target = run_load(&run, "freplace_target");
	if (target) {
		int fd = run_prog_fd(&run, target, "freplace_target");

		run_expect(&run, "result before", run_packet(&run, fd), ORIGINAL);
		control(&run, second);
		/* A program can be attached once without naming its target again. */
		for (int i = 0; i < ROUNDS && run.result == PASS; i++) {
			object = load_for(&run, program, fd);
			if (object)
				go(&run, fd, object);
			bpf_object__close(object);
		}
	}
	bpf_object__close(target);
	control(&run, "serve");
	if (run.result == FAIL)
		ksft_print_msg("%s: %s\n", name, run.why);
	ksft_test_result(run.result == PASS, "%s\n", name);
}

int main(void)
{
	ksft_print_header();
	ksft_set_plan(6);
	if (run_enter_folder())
		ksft_exit_fail_msg("own folder: %s\n", strerror(errno));
	run_prepare();
	attach("replacement beside a program in a pack", "serve", "serve", "freplace", replace);
	attach("far replacement of a program in a pack", "serve", "drain", "freplace", replace);
	attach("replacement in a pack of a far program", "drain", "serve", "freplace", replace);
	attach("trampoline beside a program in a pack", "serve", "serve", "fentry_prog", trace);
	attach("far trampoline of a program in a pack", "serve", "drain", "fentry_prog", trace);
	attach("trampoline in a pack of a far program", "drain", "serve", "fentry_prog", trace);
	ksft_finished();
}
