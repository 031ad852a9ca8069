// SPDX-License-Identifier: GPL-2.0
/* The kernel calls bpf_fentry_test2(2, 3) for a test run; it returns 5. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

SEC("fexit/bpf_fentry_test2")
int BPF_PROG(fexit, int a, __u64 b, int ret)
{
	state_hit(a * 10000 + b * 100 + ret);
	return 0;
}
