/* SPDX-License-Identifier: GPL-2.0 */
/* What bpf_pack says of itself in its status file. Nothing else in C reads that file. */
#ifndef BPF_PACK_STATUS_H
#define BPF_PACK_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The number after "KEY:", or a negative errno: -ENOENT if the module is not
 * loaded or has no such line.
 */
long long status_value(const char *key);

/* True if @address is in one of the packs. */
bool status_has_address(uint64_t address);

#endif /* BPF_PACK_STATUS_H */
