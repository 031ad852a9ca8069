// SPDX-License-Identifier: GPL-2.0
/* The replacement for a function of freplace_target.bpf.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("freplace/replaceable")
int freplace(struct __sk_buff *skb)
{
	return 200 + skb->len;
}

char _license[] SEC("license") = "GPL";
