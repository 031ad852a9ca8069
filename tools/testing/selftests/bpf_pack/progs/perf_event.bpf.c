// SPDX-License-Identifier: GPL-2.0
/* Counts samples taken in the test's process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

SEC("perf_event")
int perf_sample(void *ctx)
{
	state_hit(0);
	return 0;
}
