/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The map that programs here share with the test that loads them: one array element,
 * in which a program writes what it saw.
 */
#ifndef BPF_PACK_PROGS_STATE_H
#define BPF_PACK_PROGS_STATE_H

#include <linux/types.h>

/**
 * struct state - the only element of the map "state"
 * @pid: process whose events count; set by the test
 * @input: argument of the program; set by the test
 * @hits: events of @pid that the program saw
 * @value: the value of the last event
 */
struct state {
	__u64 pid;
	__u64 input;
	__u64 hits;
	__u64 value;
};

#ifdef __bpf__

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} state SEC(".maps");

static __always_inline struct state *state_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&state, &zero);
}

/* Counts an event of the test's process; the programs run at events of all others, too. */
static __always_inline int state_hit(__u64 value)
{
	struct state *s = state_get();

	if (!s || s->pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	__sync_fetch_and_add(&s->hits, 1);
	s->value = value;
	return 1;
}

char _license[] SEC("license") = "GPL";

#endif /* __bpf__ */
#endif /* BPF_PACK_PROGS_STATE_H */
