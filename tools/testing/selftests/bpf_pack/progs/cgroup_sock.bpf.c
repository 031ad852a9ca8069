// SPDX-License-Identifier: GPL-2.0
/* Forbids the processes of a control group to make datagram sockets. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

#define SOCK_DGRAM 2

SEC("cgroup/sock_create")
int cgroup_sock(struct bpf_sock *sk)
{
	struct state *s = state_get();

	if (!s)
		return 1;
	__sync_fetch_and_add(&s->hits, 1);
	s->value = sk->type;
	return s->value != SOCK_DGRAM;
}
