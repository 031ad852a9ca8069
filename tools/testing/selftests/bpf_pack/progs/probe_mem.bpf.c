// SPDX-License-Identifier: GPL-2.0
/*
 * Loads with exception-table entries: a bad pointer reads as zero. The address
 * comes from the test; zero stands for the current task.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
} __attribute__((preserve_access_index));

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

SEC("tc")
int probe_mem(struct __sk_buff *skb)
{
	struct state *s = state_get();
	struct task_struct *task;
	void *address;

	if (!s)
		return -1;
	address = (void *)s->input;
	if (!address)
		address = (void *)bpf_get_current_task();
	task = bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct task_struct));
	s->hits++;
	s->value = (__u64)task->group_leader;
	return task->tgid;
}
