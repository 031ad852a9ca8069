// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls of the functions that the module redirects. The test loads the
 * programs of one kind and knows the order of the counts.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FUNCTIONS 6

__u64 calls[FUNCTIONS];

#define COUNT(kind, name, function, index)			\
	SEC(kind "/" #function)					\
	int name##_##index(void *ctx)				\
	{							\
		__sync_fetch_and_add(&calls[index], 1);		\
		return 0;					\
	}

#define COUNT_ALL(function, index)				\
	COUNT("fentry", entry, function, index)			\
	COUNT("fexit", exit, function, index)			\
	COUNT("kprobe.multi", probe, function, index)		\
	COUNT("kretprobe.multi", return, function, index)

COUNT_ALL(bpf_prog_pack_alloc, 0)
COUNT_ALL(bpf_prog_pack_free, 1)
COUNT_ALL(bpf_jit_binary_pack_finalize, 2)
COUNT_ALL(bpf_arch_text_copy, 3)
COUNT_ALL(bpf_arch_text_poke, 4)
COUNT_ALL(bpf_fixup_call_args, 5)

char _license[] SEC("license") = "GPL";
