/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bpf_pack: read-only executable memory for in-kernel JITs.
 *
 * Images of any size share 2 MiB packs, each of which is mapped by one TLB
 * entry and has no writable alias. The life of an image is
 *
 *	alloc -> finalize -> (run) -> free
 *
 * and an image may be freed without having been finalized. All three functions
 * may sleep. Calls for different images may run concurrently, calls for the same
 * image may not. If they do, a second finalize during a finalize is refused and
 * changes nothing, and a free during a finalize takes effect when that ends.
 */
#ifndef _BPF_PACK_H
#define _BPF_PACK_H

#include <linux/types.h>

/**
 * bpf_pack_alloc - Reserve memory for one image
 * @size: bytes, from 1 to 64 MiB
 * @flags: 0; other values are reserved
 *
 * The memory is filled with BRK instructions. The caller may read it and may
 * generate code for its address, but nobody may branch to it before
 * bpf_pack_finalize() has returned 0.
 *
 * Return: a 64-byte aligned address; NULL if the size or the flags are wrong, if
 * there is no memory, or while `drain` in the debugfs control stops new images.
 */
void *bpf_pack_alloc(u32 size, u32 flags);

/**
 * bpf_pack_finalize - Copy an image into place and make it executable
 * @rox: the address that bpf_pack_alloc() returned
 * @rw: the image
 * @size: bytes of the image: a multiple of 4, at most the allocated size rounded
 *	  up to 64. Whole 64-byte chunks beyond it become free.
 *
 * When it returns 0, the instruction fetch of every online CPU sees the image,
 * and each of them has taken a context synchronisation event since the copy.
 *
 * Return: 0; -EINVAL if @rox is not the start of an image of ours or @size is
 * wrong; -EBUSY if the image was finalized before, is being finalized by another
 * call, or was freed meanwhile; -EFAULT if @rw could not be read. After -EFAULT
 * the image consists of BRK instructions and can only be freed.
 */
int bpf_pack_finalize(void *rox, const void *rw, u32 size);

/**
 * bpf_pack_free - Free an image
 * @rox: the address that bpf_pack_alloc() returned; NULL is ignored
 * @size: bytes, as given to bpf_pack_alloc()
 *
 * When it returns, the memory consists of BRK instructions, so that a stale
 * branch traps. Other images get the memory only after every online CPU has
 * taken a context synchronisation event. The function cannot fail and allocates
 * no memory. If @rox is not the start of an image of ours, it writes a line to
 * the log and changes nothing. If the image is being finalized, it writes a line,
 * too, and the image is freed when that ends.
 */
void bpf_pack_free(void *rox, u32 size);

#endif /* _BPF_PACK_H */
