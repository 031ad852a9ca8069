// SPDX-License-Identifier: GPL-2.0
/*
 * The registration of an allocator for the images of the BPF JIT.
 *
 * There is one at most. The JIT asks a static key first, so that a kernel without an
 * allocator does not come here. The key only saves instructions; what counts is
 * `registered`: it is read and the call is made in one section of `calls`, so that
 * unregistering can wait for the calls in flight.
 */
#include <linux/bpf_prog_pack.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/filter.h>
#include <linux/mutex.h>
#include <linux/srcu.h>

DEFINE_STATIC_KEY_FALSE(bpf_prog_pack_key);

/* Readers may sleep in the allocator. A load is one reader from its begin to its end. */
DEFINE_STATIC_SRCU(calls);
static const struct bpf_prog_pack_ops __rcu *registered;
/* Held while an allocator comes or goes. */
static DEFINE_MUTEX(registration);

/**
 * bpf_prog_pack_register - has the JIT ask an allocator for the memory of images
 * @ops: the allocator; must stay until it is unregistered
 *
 * Sleeps.
 *
 * Return: -EBUSY if there is one, -EINVAL if an operation is missing.
 */
int bpf_prog_pack_register(const struct bpf_prog_pack_ops *ops)
{
	if (!ops->alloc || !ops->finalize || !ops->free || !ops->copy ||
	    !ops->begin_load || !ops->end_load)
		return -EINVAL;

	guard(mutex)(&registration);
	if (rcu_access_pointer(registered))
		return -EBUSY;
	/*
	 * First the key: its sites change one after the other. Once somebody can have an
	 * image of the allocator, every CPU must come here to finalize and to free it.
	 */
	static_branch_enable(&bpf_prog_pack_key);
	rcu_assign_pointer(registered, ops);
	return 0;
}
EXPORT_SYMBOL_GPL(bpf_prog_pack_register);

/**
 * bpf_prog_pack_unregister - ends what bpf_prog_pack_register() has begun
 * @ops: the same
 *
 * The allocator must have no images of the JIT any more, and refuse new ones. Sleeps until
 * no call is in flight.
 */
void bpf_prog_pack_unregister(const struct bpf_prog_pack_ops *ops)
{
	guard(mutex)(&registration);
	if (WARN_ON_ONCE(rcu_access_pointer(registered) != ops))
		return;
	RCU_INIT_POINTER(registered, NULL);
	synchronize_srcu(&calls);
	static_branch_disable(&bpf_prog_pack_key);
}
EXPORT_SYMBOL_GPL(bpf_prog_pack_unregister);

void *__bpf_prog_pack_ask(u32 size, bpf_jit_fill_hole_t fill, bool was_classic)
{
	const struct bpf_prog_pack_ops *ops;

	/*
	 * The dispatcher never frees its image. Before memory is used again, predictors may
	 * have to be flushed: only bpf_prog_pack_alloc() knows when.
	 */
	if (fill == bpf_jit_fill_hole_with_zero || static_branch_unlikely(&bpf_pred_flush_enabled))
		return NULL;

	guard(srcu)(&calls);
	ops = srcu_dereference(registered, &calls);
	return ops ? ops->alloc(size, was_classic) : NULL;
}

int __bpf_prog_pack_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw)
{
	const struct bpf_prog_pack_ops *ops;
	int err;

	guard(srcu)(&calls);
	ops = srcu_dereference(registered, &calls);
	if (!ops)
		return -ENOENT;
	err = ops->finalize(ro, rw);
	/* A busy image has another owner, who frees it. */
	if (err && err != -ENOENT && err != -EBUSY)
		ops->free(ro);
	return err;
}

bool __bpf_prog_pack_free(void *image)
{
	const struct bpf_prog_pack_ops *ops;

	guard(srcu)(&calls);
	ops = srcu_dereference(registered, &calls);
	return ops && ops->free(image);
}

int __bpf_prog_pack_copy(void *dst, void *src, size_t len)
{
	const struct bpf_prog_pack_ops *ops;

	guard(srcu)(&calls);
	ops = srcu_dereference(registered, &calls);
	return ops ? ops->copy(dst, src, len) : -ENOENT;
}

struct bpf_prog_pack_load __bpf_prog_pack_begin_load(u32 images)
{
	struct bpf_prog_pack_load load = { .reader = srcu_read_lock(&calls) };
	const struct bpf_prog_pack_ops *ops = srcu_dereference(registered, &calls);

	if (ops && ops->begin_load(images))
		load.ops = ops;
	else
		srcu_read_unlock(&calls, load.reader);
	return load;
}

void __bpf_prog_pack_end_load(struct bpf_prog_pack_load load)
{
	/* The section of the begin goes on: the allocator is still there, if it is leaving. */
	load.ops->end_load();
	srcu_read_unlock(&calls, load.reader);
}
