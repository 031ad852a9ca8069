// SPDX-License-Identifier: GPL-2.0
/* Counts system calls of the test's process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

SEC("raw_tracepoint/sys_enter")
int raw_tracepoint(struct bpf_raw_tracepoint_args *ctx)
{
	state_hit(ctx->args[1]);
	return 0;
}
