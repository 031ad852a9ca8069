// SPDX-License-Identifier: GPL-2.0
/*
 * Threads, and what is inline or a macro in the kernel's headers. Declared for Rust
 * in sys.rs.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <asm/insn-def.h>

#include "helpers.h"

struct job {
	void (*work)(void *item);
	void *item;
	struct completion done;
};

static int run_job(void *data)
{
	struct job *job = data;

	job->work(job->item);
	kthread_complete_and_exit(&job->done, 0);
}

int random_helper_run(u32 count, void (*work)(void *item), void *items, size_t size)
{
	struct job *jobs = kcalloc(count, sizeof(*jobs), GFP_KERNEL);
	struct task_struct *task;
	u32 started, i;
	int err = 0;

	if (!jobs)
		return -ENOMEM;
	for (started = 0; started < count; started++) {
		struct job *job = &jobs[started];

		job->work = work;
		job->item = items + started * size;
		init_completion(&job->done);
		task = kthread_run(run_job, job, "bpf_pack_random/%u", started);
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			break;
		}
	}
	/* Idle: a round may take longer than the watchdog of hung tasks allows. */
	for (i = 0; i < started; i++)
		wait_for_completion_state(&jobs[i].done, TASK_IDLE);
	kfree(jobs);
	return err;
}

u32 random_helper_trap(void)
{
	return AARCH64_BREAK_FAULT;
}

void random_helper_resched(void)
{
	cond_resched();
}
