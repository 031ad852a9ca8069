/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of bpf_pack, in /sys/kernel/tracing/events/bpf_pack. Sizes are
 * bytes. The file cannot be called trace_events.h: include/trace has one.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM bpf_pack

#if !defined(BPF_PACK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define BPF_PACK_TRACE_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(bpf_pack_range,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size),
	TP_STRUCT__entry(
		__field(unsigned long, address)
		__field(unsigned long, size)
	),
	TP_fast_assign(
		__entry->address = address;
		__entry->size = size;
	),
	TP_printk("address=%#lx size=%lu", __entry->address, __entry->size)
);

/* An image got memory. */
DEFINE_EVENT(bpf_pack_range, bpf_pack_reserve,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size)
);

/* An image was finalized: every CPU's instruction fetch sees it. */
DEFINE_EVENT(bpf_pack_range, bpf_pack_finalize,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size)
);

/* A freed image consists of BRK instructions again. */
DEFINE_EVENT(bpf_pack_range, bpf_pack_retire,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size)
);

/* A region was made: its pack is in the books. */
DEFINE_EVENT(bpf_pack_range, bpf_pack_make_region,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size)
);

/* A region is about to be freed: its pack is not in the books any more. */
DEFINE_EVENT(bpf_pack_range, bpf_pack_free_region,
	TP_PROTO(unsigned long address, unsigned long size),
	TP_ARGS(address, size)
);

/*
 * All CPUs were synchronised, and the images of the batch are free: it comes
 * with the last of them. Without a batch it comes at once, with zeroes.
 */
TRACE_EVENT(bpf_pack_synchronise,
	TP_PROTO(unsigned long images, unsigned long size),
	TP_ARGS(images, size),
	TP_STRUCT__entry(
		__field(unsigned long, images)
		__field(unsigned long, size)
	),
	TP_fast_assign(
		__entry->images = images;
		__entry->size = size;
	),
	TP_printk("images=%lu size=%lu", __entry->images, __entry->size)
);

#endif /* BPF_PACK_TRACE_H */

/* This part must be outside protection. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE bpf_pack_trace
#include <trace/define_trace.h>
