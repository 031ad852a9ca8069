// SPDX-License-Identifier: GPL-2.0
/*
 * Calls between functions of one program, each with an image of its own: a
 * static function, a global one, a nested one, and a callback of a helper.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int leaf(int x)
{
	return x * 3 + (int)bpf_get_prandom_u32() * 0;
}

static __noinline int twice(int x)
{
	return leaf(x) + leaf(x + 1);
}

__noinline int global(int x)
{
	return twice(x) * 2;
}

static long add(__u64 index, void *sum)
{
	*(__u64 *)sum += index;
	return 0;
}

/* For a packet of n bytes: 2 * (3n + 3(n + 1)) + 0 + 1 + ... + 99. */
SEC("tc")
int subprogs(struct __sk_buff *skb)
{
	__u64 sum = 0;

	bpf_loop(100, add, &sum, 0);
	return global(skb->len) + (int)sum;
}

char _license[] SEC("license") = "GPL";
