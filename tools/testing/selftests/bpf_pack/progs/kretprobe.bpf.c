// SPDX-License-Identifier: GPL-2.0
/* The kernel calls bpf_fentry_test2(2, 3) for a test run; it returns 5. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

SEC("kretprobe/bpf_fentry_test2")
int BPF_KRETPROBE(kretprobe, int ret)
{
	state_hit(ret);
	return 0;
}
