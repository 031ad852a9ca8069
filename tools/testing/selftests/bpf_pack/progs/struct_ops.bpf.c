// SPDX-License-Identifier: GPL-2.0
/* A TCP congestion control: Reno, which counts its calls. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

/* The fields of the kernel's types that are used here; libbpf finds them by name. */
struct sock {
	int unused;
} __attribute__((preserve_access_index));

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

extern __u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern void tcp_reno_cong_avoid(struct sock *sk, __u32 ack, __u32 acked) __ksym;
extern __u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

SEC("struct_ops")
void BPF_PROG(congestion_init, struct sock *sk)
{
	struct state *s = state_get();

	if (s)
		__sync_fetch_and_add(&s->value, 1);
}

SEC("struct_ops")
__u32 BPF_PROG(congestion_ssthresh, struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

SEC("struct_ops")
void BPF_PROG(congestion_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	struct state *s = state_get();

	if (s)
		__sync_fetch_and_add(&s->hits, 1);
	tcp_reno_cong_avoid(sk, ack, acked);
}

SEC("struct_ops")
__u32 BPF_PROG(congestion_undo, struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

SEC(".struct_ops")
struct tcp_congestion_ops congestion = {
	.init = (void *)congestion_init,
	.ssthresh = (void *)congestion_ssthresh,
	.cong_avoid = (void *)congestion_avoid,
	.undo_cwnd = (void *)congestion_undo,
	.name = "bpf_pack_reno",
};
