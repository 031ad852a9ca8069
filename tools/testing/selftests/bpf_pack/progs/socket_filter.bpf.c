// SPDX-License-Identifier: GPL-2.0
/* Adds the first eight bytes of a packet. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket")
int socket_filter(struct __sk_buff *skb)
{
	__u8 bytes[8];
	int sum = 0;

	if (bpf_skb_load_bytes(skb, 0, bytes, sizeof(bytes)))
		return -1;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		sum += bytes[i];
	return sum;
}

char _license[] SEC("license") = "GPL";
