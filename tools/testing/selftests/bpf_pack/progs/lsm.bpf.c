// SPDX-License-Identifier: GPL-2.0
/* Forbids the test's process to change its niceness. */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

struct task_struct;

SEC("lsm/task_setnice")
int BPF_PROG(lsm, struct task_struct *task, int nice, int ret)
{
	if (ret)
		return ret;
	return state_hit(nice) ? -EBUSY : 0;
}
