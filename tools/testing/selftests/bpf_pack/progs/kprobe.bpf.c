// SPDX-License-Identifier: GPL-2.0
/* The kernel calls bpf_fentry_test1(1) for a test run of a tracing program. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

SEC("kprobe/bpf_fentry_test1")
int BPF_KPROBE(kprobe, int a)
{
	state_hit(a);
	return 0;
}
