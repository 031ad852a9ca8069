/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bpf_pack: read-only executable memory for in-kernel JITs.
 *
 * Images of any size share 2 MiB packs, each of which is mapped by one TLB
 * entry and has no writable alias. The life of an image is
 *
 *	alloc -> finalize -> (run) -> free
 *
 * and an image may be freed without ever having been finalized. All three
 * functions may sleep. Calls for different images may run concurrently; calls
 * for one image must not. While an image is being finalized another finalize of
 * it is refused and changes nothing, and a free takes effect when that has ended.
 */
#ifndef _BPF_PACK_H
#define _BPF_PACK_H

#include <linux/types.h>

/**
 * bpf_pack_alloc - Reserve memory for one image
 * @size: bytes, from 1 to 64 MiB
 * @flags: 0; others are reserved
 *
 * The memory is filled with BRK instructions: it may be read, and code that is
 * to be placed in it may be generated for its address, but nobody may branch
 * to it before bpf_pack_finalize() has returned 0.
 *
 * Return: a 64-byte aligned address, or NULL if the size or the flags are
 * wrong, if there is no memory, or while allocation is stopped through the
 * debugfs control.
 */
void *bpf_pack_alloc(u32 size, u32 flags);

/**
 * bpf_pack_finalize - Copy an image into place and make it executable
 * @rox: what bpf_pack_alloc() returned
 * @rw: the image
 * @size: bytes of the image: a multiple of 4, not more than was allocated
 *	  (rounded up to 64); whole 64-byte chunks that it leaves unused go back
 *	  to the pack
 *
 * When it returns 0 the image is visible to the instruction fetch of every
 * online CPU, and each has taken a context synchronisation event since.
 *
 * Return: 0; -EINVAL if @rox is not the start of an image of ours or @size is
 * wrong; -EBUSY if the image was finalized before, is just being finalized, or
 * was freed meanwhile; -EFAULT if @rw could not be read, in which case the
 * image is BRK instructions again and can only be freed.
 */
int bpf_pack_finalize(void *rox, const void *rw, u32 size);

/**
 * bpf_pack_free - Free an image
 * @rox: what bpf_pack_alloc() returned; NULL is ignored
 * @size: bytes, as given to bpf_pack_alloc()
 *
 * The bytes are BRK instructions again when it returns, so that a stale branch
 * traps. They are handed out again only after every online CPU has taken a
 * context synchronisation event. Cannot fail and allocates no memory. An
 * address that is not the start of an image of ours is reported in the log and
 * changes nothing. An image that is just being finalized is reported, too, and
 * freed when that has ended.
 */
void bpf_pack_free(void *rox, u32 size);

#endif /* _BPF_PACK_H */
