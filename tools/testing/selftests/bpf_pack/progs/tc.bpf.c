// SPDX-License-Identifier: GPL-2.0
/* Writes the packet's length and mark into the packet, and drops it. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int tc_store(struct __sk_buff *skb)
{
	__u32 words[2] = { skb->len, skb->mark };

	if (bpf_skb_store_bytes(skb, 16, words, sizeof(words), 0))
		return TC_ACT_OK;
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";
