/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that are attached to another BPF program: to the function "replaceable"
 * of freplace_target.bpf.c. Errors are noted with run_fail().
 */
#ifndef BPF_PACK_ATTACH_H
#define BPF_PACK_ATTACH_H

#include "run.h"

/* What freplace_target.bpf.c returns by itself, and while freplace.bpf.c replaces it. */
#define TARGET_ORIGINAL 101
#define TARGET_REPLACED (201 + PACKET)

/*
 * Opens and loads progs/NAME.bpf.o, whose one program is for program @target;
 * NULL after run_fail(). @type is its attach type, 0 for that of the object.
 */
struct bpf_object *attach_load(struct run *run, const char *name, int target,
			       enum bpf_attach_type type);

/* Replaces the function, runs @target, takes the replacement away, runs @target again. */
void attach_replacement(struct run *run, int target);

/* The same with a trampoline of @type, BPF_TRACE_FENTRY or BPF_TRACE_FEXIT. */
void attach_trampoline(struct run *run, int target, enum bpf_attach_type type);

#endif /* BPF_PACK_ATTACH_H */
