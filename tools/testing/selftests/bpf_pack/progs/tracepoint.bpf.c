// SPDX-License-Identifier: GPL-2.0
/* Counts system calls of the test's process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

/* The fields of events/raw_syscalls/sys_enter/format. */
struct sys_enter {
	__u64 common;
	long id;
	unsigned long args[6];
};

SEC("tracepoint/raw_syscalls/sys_enter")
int tracepoint(struct sys_enter *ctx)
{
	state_hit(ctx->id);
	return 0;
}
