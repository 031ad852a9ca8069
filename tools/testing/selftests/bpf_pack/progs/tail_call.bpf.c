// SPDX-License-Identifier: GPL-2.0
/*
 * A chain of tail calls, then a program that calls itself until the kernel's
 * limit on tail calls ends it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

int tail_first(struct __sk_buff *skb);
int tail_second(struct __sk_buff *skb);
int tail_again(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
} next SEC(".maps") = {
	.values = {
		[0] = (void *)&tail_first,
		[1] = (void *)&tail_second,
		[2] = (void *)&tail_again,
	},
};

static __always_inline void note(__u64 digit)
{
	struct state *s = state_get();

	if (s) {
		s->hits++;
		s->value = s->value * 10 + digit;
	}
}

SEC("tc")
int tail_again(struct __sk_buff *skb)
{
	struct state *s = state_get();

	if (s)
		s->hits++;
	bpf_tail_call(skb, &next, 2);
	return 77;
}

SEC("tc")
int tail_second(struct __sk_buff *skb)
{
	note(3);
	bpf_tail_call(skb, &next, 3); /* empty: returns here */
	bpf_tail_call(skb, &next, 2);
	return -2;
}

SEC("tc")
int tail_first(struct __sk_buff *skb)
{
	note(2);
	bpf_tail_call(skb, &next, 1);
	return -1;
}

SEC("tc")
int tail_call(struct __sk_buff *skb)
{
	note(1);
	bpf_tail_call(skb, &next, 0);
	return -3;
}
