/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_BPF_PROG_PACK_H
#define _LINUX_BPF_PROG_PACK_H

#include <linux/errno.h>
#include <linux/filter.h>
#include <linux/jump_label.h>
#include <linux/types.h>

struct bpf_binary_header;

/**
 * struct bpf_prog_pack_ops - an allocator for the images of the BPF JIT
 *
 * All of them may sleep. The address of an image says whose it is: the kernel's own allocator
 * serves what @alloc refuses, and everything about images that @alloc has not returned.
 *
 * An allocator in a module holds a reference to that while it has images, and @alloc refuses when
 * it gets none because the module is being removed. It may give the reference up in @free:
 * bpf_prog_pack_unregister() waits for the calls in flight.
 *
 * @alloc: allocates @size bytes of read-only executable memory, aligned to 64 bytes and full
 *	of trapping instructions. @was_classic says that anybody may have loaded the program.
 *	NULL if the kernel's own allocator is to serve.
 * @finalize: copies the buffer @rw, which begins with its size, to the image @ro and makes
 *	that visible to instruction fetch on all CPUs, or on all of them at the end of the load.
 *	-ENOENT if @ro is no image of this allocator. -EBUSY if it is finalized already, or
 *	another task is about to: then nothing has changed. With any other error the load
 *	fails and the caller frees the image with @free. The caller frees @rw in each case.
 * @free: frees the image. False if it is none of this allocator. True also for an address
 *	in its memory where no image begins, which it leaves alone.
 * @copy: the same as @finalize for @len bytes in the middle of an image, which stays with
 *	any error.
 * @begin_load: this task begins to finalize @images images, none of which anybody enters
 *	before @end_load. False if each of them is to be finalized by itself; then there is no
 *	@end_load.
 * @end_load: this task is done with that.
 */
struct bpf_prog_pack_ops {
	void *(*alloc)(u32 size, bool was_classic);
	int (*finalize)(struct bpf_binary_header *ro, struct bpf_binary_header *rw);
	bool (*free)(void *image);
	int (*copy)(void *dst, void *src, size_t len);
	bool (*begin_load)(u32 images);
	void (*end_load)(void);
};

/**
 * struct bpf_prog_pack_load - a load of several images
 * @ops: the allocator that was told of it, or NULL
 * @reader: what the end of the load needs
 */
struct bpf_prog_pack_load {
	const struct bpf_prog_pack_ops *ops;
	int reader;
};

#ifdef CONFIG_BPF_PROG_PACK_OPS

/* For the allocator. */
int bpf_prog_pack_register(const struct bpf_prog_pack_ops *ops);
void bpf_prog_pack_unregister(const struct bpf_prog_pack_ops *ops);
u64 bpf_jit_charged_modmem(void);

/* For the JIT. Without an allocator each of them that asks the key is one NOP. */
DECLARE_STATIC_KEY_FALSE(bpf_prog_pack_key);

void *__bpf_prog_pack_ask(u32 size, bpf_jit_fill_hole_t fill, bool was_classic);
int __bpf_prog_pack_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw);
bool __bpf_prog_pack_free(void *image);
int __bpf_prog_pack_copy(void *dst, void *src, size_t len);
struct bpf_prog_pack_load __bpf_prog_pack_begin_load(u32 images);
void __bpf_prog_pack_end_load(struct bpf_prog_pack_load load);

static inline bool bpf_prog_pack_is_registered(void)
{
	return static_branch_unlikely(&bpf_prog_pack_key);
}

/* NULL: the kernel's own allocator serves. */
static inline void *bpf_prog_pack_ask(u32 size, bpf_jit_fill_hole_t fill, bool was_classic)
{
	return bpf_prog_pack_is_registered() ? __bpf_prog_pack_ask(size, fill, was_classic) : NULL;
}

/* -ENOENT: the image is of the kernel's own allocator. */
static inline int bpf_prog_pack_try_finalize(struct bpf_binary_header *ro,
					     struct bpf_binary_header *rw)
{
	return bpf_prog_pack_is_registered() ? __bpf_prog_pack_finalize(ro, rw) : -ENOENT;
}

/* False: the image is of the kernel's own allocator. */
static inline bool bpf_prog_pack_try_free(void *image)
{
	return bpf_prog_pack_is_registered() && __bpf_prog_pack_free(image);
}

/* -ENOENT: the image is of the kernel's own allocator. */
static inline int bpf_prog_pack_try_copy(void *dst, void *src, size_t len)
{
	return bpf_prog_pack_is_registered() ? __bpf_prog_pack_copy(dst, src, len) : -ENOENT;
}

/* Give the result to bpf_prog_pack_end_load(), in the same task. */
static inline struct bpf_prog_pack_load bpf_prog_pack_begin_load(u32 images)
{
	if (images > 1 && bpf_prog_pack_is_registered())
		return __bpf_prog_pack_begin_load(images);
	return (struct bpf_prog_pack_load){};
}

static inline void bpf_prog_pack_end_load(struct bpf_prog_pack_load load)
{
	if (unlikely(load.ops))
		__bpf_prog_pack_end_load(load);
}

#else /* !CONFIG_BPF_PROG_PACK_OPS */

/* Without a JIT there is no bpf_jit_fill_hole_t. */
static inline void *bpf_prog_pack_ask(u32 size, void (*fill)(void *area, unsigned int size),
				      bool was_classic)
{
	return NULL;
}

static inline int bpf_prog_pack_try_finalize(struct bpf_binary_header *ro,
					     struct bpf_binary_header *rw)
{
	return -ENOENT;
}

static inline bool bpf_prog_pack_try_free(void *image)
{
	return false;
}

static inline int bpf_prog_pack_try_copy(void *dst, void *src, size_t len)
{
	return -ENOENT;
}

static inline struct bpf_prog_pack_load bpf_prog_pack_begin_load(u32 images)
{
	return (struct bpf_prog_pack_load){};
}

static inline void bpf_prog_pack_end_load(struct bpf_prog_pack_load load)
{
}

#endif /* CONFIG_BPF_PROG_PACK_OPS */

#endif /* _LINUX_BPF_PROG_PACK_H */
