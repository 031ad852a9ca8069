// SPDX-License-Identifier: GPL-2.0
/* Exports the functions that abi.rs defines. */
#include <linux/export.h>

#include "include/bpf_pack.h"

EXPORT_SYMBOL_GPL(bpf_pack_alloc);
EXPORT_SYMBOL_GPL(bpf_pack_finalize);
EXPORT_SYMBOL_GPL(bpf_pack_free);
