// SPDX-License-Identifier: GPL-2.0
#include "attach.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct bpf_object *attach_load(struct run *run, const char *name, int target,
			       enum bpf_attach_type type)
{
	struct bpf_object *object = run_open(run, name);
	struct bpf_program *prog;

	if (!object)
		return NULL;
	prog = bpf_object__next_program(object, NULL);
	if (type)
		bpf_program__set_expected_attach_type(prog, type);
	if (bpf_program__set_attach_target(prog, target, "replaceable") ||
	    bpf_object__load(object)) {
		run_fail(run, "load %s: %s", name, strerror(errno));
		bpf_object__close(object);
		return NULL;
	}
	return object;
}

void attach_replacement(struct run *run, int target)
{
	struct bpf_object *object = attach_load(run, "freplace", target, 0);
	struct bpf_link *link;

	if (!object)
		return;
	link = bpf_program__attach_freplace(bpf_object__next_program(object, NULL), 0, NULL);
	if (link)
		run_expect(run, "result while replaced", run_packet(run, target), TARGET_REPLACED);
	else
		run_fail(run, "attach freplace: %s", strerror(errno));
	bpf_link__destroy(link);
	run_expect(run, "result after", run_packet(run, target), TARGET_ORIGINAL);
	bpf_object__close(object);
}

void attach_trampoline(struct run *run, int target, enum bpf_attach_type type)
{
	struct bpf_object *object = attach_load(run, "fentry_prog", target, type);
	struct state state = { .pid = getpid() };
	struct bpf_link *link;

	if (!object)
		return;
	state_write(run, object, &state);
	link = bpf_program__attach_trace(bpf_object__next_program(object, NULL));
	if (link)
		run_expect(run, "result while traced", run_packet(run, target), TARGET_ORIGINAL);
	else
		run_fail(run, "attach fentry_prog: %s", strerror(errno));
	run_expect(run, "hits while traced", state_read(run, object).hits, 1);
	bpf_link__destroy(link);
	run_expect(run, "result after", run_packet(run, target), TARGET_ORIGINAL);
	run_expect(run, "hits after", state_read(run, object).hits, 1);
	bpf_object__close(object);
}
