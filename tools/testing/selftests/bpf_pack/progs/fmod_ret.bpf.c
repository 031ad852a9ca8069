// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel calls bpf_modify_return_test(1, &b) for a test run: it adds one
 * to b and returns the sum, unless this program gives another return value.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

SEC("fmod_ret/bpf_modify_return_test")
int BPF_PROG(fmod_ret, int a, int *b, int ret)
{
	struct state *s = state_get();

	if (!s || !state_hit(a))
		return 0;
	return s->input;
}
