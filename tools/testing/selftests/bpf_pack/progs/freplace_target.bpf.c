// SPDX-License-Identifier: GPL-2.0
/* A program with a function that another program replaces while it lives. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__noinline int replaceable(struct __sk_buff *skb)
{
	volatile int original = 100;

	return original + (int)skb->len * 0;
}

SEC("tc")
int freplace_target(struct __sk_buff *skb)
{
	return replaceable(skb) + 1;
}

char _license[] SEC("license") = "GPL";
