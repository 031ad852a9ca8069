// SPDX-License-Identifier: GPL-2.0
/* Stores to an arena and loads from it; a freed page reads as zero. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "state.h"

#define __arena __attribute__((address_space(1)))
#define PAGES 4
#define ANY_NODE (-1)

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PAGES);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 page_cnt,
					   int node_id, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym;

SEC("syscall")
int arena_access(void *ctx)
{
	struct state *s = state_get();
	__u64 __arena *page;
	__u64 sum = 0;

	page = bpf_arena_alloc_pages(&arena, 0, 1, ANY_NODE, 0);
	if (!s || !page)
		return -1;
	for (int i = 0; i < 100; i++)
		*(volatile __u64 __arena *)(page + i) = i;
	for (int i = 0; i < 100; i++)
		sum += *(volatile __u64 __arena *)(page + i);
	s->value = sum;
	bpf_arena_free_pages(&arena, page, 1);
	s->hits = *(volatile __u64 __arena *)page;
	return 0;
}
