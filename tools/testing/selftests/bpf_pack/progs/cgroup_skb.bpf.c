// SPDX-License-Identifier: GPL-2.0
/* Drops packets of a control group to the UDP port that the test names. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

SEC("cgroup_skb/egress")
int cgroup_skb(struct __sk_buff *skb)
{
	struct state *s = state_get();
	struct udphdr udp;
	struct iphdr ip;

	if (!s || bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
		return 1;
	if (bpf_skb_load_bytes(skb, ip.ihl * 4, &udp, sizeof(udp)))
		return 1;
	__sync_fetch_and_add(&s->hits, 1);
	s->value = bpf_ntohs(udp.dest);
	return s->value != s->input;
}
