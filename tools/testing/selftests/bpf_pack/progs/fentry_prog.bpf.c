// SPDX-License-Identifier: GPL-2.0
/* Traces a function of another BPF program, freplace_target.bpf.c. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

SEC("fentry/replaceable")
int BPF_PROG(fentry_prog, void *skb)
{
	state_hit(1);
	return 0;
}
