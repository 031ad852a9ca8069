// SPDX-License-Identifier: GPL-2.0
/*
 * The registration of an allocator for the images of the BPF JIT.
 *
 * There is one at most. The JIT calls it with static calls, behind a static key that is
 * false without one. The key and the calls only save instructions; what counts is
 * `registered`: a call is made with `calls` held, after `registered` was seen, so that
 * unregistering can wait for the calls in flight.
 */
#include <linux/bpf_prog_pack.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/filter.h>
#include <linux/mutex.h>
#include <linux/srcu.h>
#include <linux/static_call.h>

DEFINE_STATIC_KEY_FALSE(bpf_prog_pack_key);

/* Readers may sleep in the allocator. A load is one reader from its begin to its end. */
DEFINE_STATIC_SRCU(calls);
static const struct bpf_prog_pack_ops __rcu *registered;
/* Held while an allocator comes or goes. */
static DEFINE_MUTEX(registration);

/* What the calls lead to without an allocator. Nobody makes them then. */
static void *no_alloc(u32 size, bool was_classic)
{
	return NULL;
}

static int no_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw)
{
	return -ENOENT;
}

static bool no_free(void *image)
{
	return false;
}

static int no_copy(void *dst, void *src, size_t len)
{
	return -ENOENT;
}

static bool no_load(u32 images)
{
	return false;
}

static void no_end(void)
{
}

DEFINE_STATIC_CALL(bpf_prog_pack_alloc_op, no_alloc);
DEFINE_STATIC_CALL(bpf_prog_pack_finalize_op, no_finalize);
DEFINE_STATIC_CALL(bpf_prog_pack_free_op, no_free);
DEFINE_STATIC_CALL(bpf_prog_pack_copy_op, no_copy);
DEFINE_STATIC_CALL(bpf_prog_pack_begin_load_op, no_load);
DEFINE_STATIC_CALL(bpf_prog_pack_end_load_op, no_end);

static const struct bpf_prog_pack_ops none = {
	.alloc = no_alloc,
	.finalize = no_finalize,
	.free = no_free,
	.copy = no_copy,
	.begin_load = no_load,
	.end_load = no_end,
};

static void lead_calls_to(const struct bpf_prog_pack_ops *ops)
{
	static_call_update(bpf_prog_pack_alloc_op, ops->alloc);
	static_call_update(bpf_prog_pack_finalize_op, ops->finalize);
	static_call_update(bpf_prog_pack_free_op, ops->free);
	static_call_update(bpf_prog_pack_copy_op, ops->copy);
	static_call_update(bpf_prog_pack_begin_load_op, ops->begin_load);
	static_call_update(bpf_prog_pack_end_load_op, ops->end_load);
}

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
	lead_calls_to(ops);
	rcu_assign_pointer(registered, ops);
	static_branch_enable(&bpf_prog_pack_key);
	return 0;
}
EXPORT_SYMBOL_GPL(bpf_prog_pack_register);

/**
 * bpf_prog_pack_unregister - ends what bpf_prog_pack_register() has begun
 * @ops: the same
 *
 * The allocator must have no images any more, and refuse new ones. Sleeps until no call
 * is in flight.
 */
void bpf_prog_pack_unregister(const struct bpf_prog_pack_ops *ops)
{
	guard(mutex)(&registration);
	if (WARN_ON_ONCE(rcu_access_pointer(registered) != ops))
		return;
	RCU_INIT_POINTER(registered, NULL);
	synchronize_srcu(&calls);
	static_branch_disable(&bpf_prog_pack_key);
	lead_calls_to(&none);
}
EXPORT_SYMBOL_GPL(bpf_prog_pack_unregister);

/* Call it in a section of `calls`. */
static bool is_registered(void)
{
	return srcu_dereference(registered, &calls);
}

void *__bpf_prog_pack_ask(u32 size, bpf_jit_fill_hole_t fill, bool was_classic)
{
	/*
	 * The dispatcher never frees its image. Before memory is used again, predictors may
	 * have to be flushed: only bpf_prog_pack_alloc() knows when.
	 */
	if (fill == bpf_jit_fill_hole_with_zero || static_branch_unlikely(&bpf_pred_flush_enabled))
		return NULL;

	guard(srcu)(&calls);
	return is_registered() ? static_call(bpf_prog_pack_alloc_op)(size, was_classic) : NULL;
}

int __bpf_prog_pack_finalize(struct bpf_binary_header *ro, struct bpf_binary_header *rw)
{
	guard(srcu)(&calls);
	return is_registered() ? static_call(bpf_prog_pack_finalize_op)(ro, rw) : -ENOENT;
}

bool __bpf_prog_pack_free(void *image)
{
	guard(srcu)(&calls);
	return is_registered() && static_call(bpf_prog_pack_free_op)(image);
}

int __bpf_prog_pack_copy(void *dst, void *src, size_t len)
{
	guard(srcu)(&calls);
	return is_registered() ? static_call(bpf_prog_pack_copy_op)(dst, src, len) : -ENOENT;
}

int __bpf_prog_pack_begin_load(u32 images)
{
	int load = srcu_read_lock(&calls);

	if (is_registered() && static_call(bpf_prog_pack_begin_load_op)(images))
		return load;
	srcu_read_unlock(&calls, load);
	return -ENOENT;
}

void __bpf_prog_pack_end_load(int load)
{
	/* The section is the one of the begin: the allocator is still registered or waits. */
	static_call(bpf_prog_pack_end_load_op)();
	srcu_read_unlock(&calls, load);
}
