// SPDX-License-Identifier: GPL-2.0
/* Defines the trace events that trace.rs calls. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "bpf_pack_trace.h"
