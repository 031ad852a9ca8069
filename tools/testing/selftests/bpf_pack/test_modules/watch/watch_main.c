// SPDX-License-Identifier: GPL-2.0
/*
 * Watches a task that registered an ftrace_ops and frees its filter: it has to wait
 * before, as ftrace itself does when it unregisters an ops. Other CPUs may still be in
 * code that uses the ops, even if the registration failed.
 *
 * The module has probes of its own, because kprobe events cannot be set on functions
 * that ftrace does not trace. Counts are in /sys/module/bpf_pack_watch/parameters.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

static unsigned int registered;
module_param(registered, uint, 0444);
MODULE_PARM_DESC(registered, "registrations of ftrace_ops seen");

static unsigned int freed;
module_param(freed, uint, 0444);
MODULE_PARM_DESC(freed, "filters seen freed by the last task that registered an ops");

static unsigned int unwaited;
module_param(unwaited, uint, 0444);
MODULE_PARM_DESC(unwaited, "of these, freed without both waits since the last registration");

/* Guards the variables below and the counts above. */
static DEFINE_RAW_SPINLOCK(lock);
/* The last task that registered an ops. Only its waits count. */
static struct task_struct *registrar;
static bool waited_rude, waited_tasks;

/* Probes the return: the registration itself waits while it changes the list of ops. */
static int on_registered(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	registered++;
	registrar = current;
	waited_rude = false;
	waited_tasks = false;
	raw_spin_unlock_irqrestore(&lock, flags);
	return 0;
}
NOKPROBE_SYMBOL(on_registered);

static void note_wait(bool *waited)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	if (current == registrar)
		*waited = true;
	raw_spin_unlock_irqrestore(&lock, flags);
}
NOKPROBE_SYMBOL(note_wait);

static int on_wait_rude(struct kprobe *probe, struct pt_regs *regs)
{
	note_wait(&waited_rude);
	return 0;
}
NOKPROBE_SYMBOL(on_wait_rude);

static int on_wait_tasks(struct kprobe *probe, struct pt_regs *regs)
{
	note_wait(&waited_tasks);
	return 0;
}
NOKPROBE_SYMBOL(on_wait_tasks);

static int on_free(struct kprobe *probe, struct pt_regs *regs)
{
	bool bad = false;
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	if (current == registrar) {
		freed++;
		bad = !waited_rude || !waited_tasks;
		unwaited += bad;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	if (bad)
		pr_err(KBUILD_MODNAME ": %s[%d] freed the filter of an ftrace_ops without waiting\n",
		       current->comm, current->pid);
	return 0;
}
NOKPROBE_SYMBOL(on_free);

static struct kretprobe register_probe = {
	.kp.symbol_name = "register_ftrace_function",
	.handler = on_registered,
};

static struct kprobe rude_probe = {
	.symbol_name = "synchronize_rcu_tasks_rude",
	.pre_handler = on_wait_rude,
};

static struct kprobe tasks_probe = {
	.symbol_name = "synchronize_rcu_tasks",
	.pre_handler = on_wait_tasks,
};

static struct kprobe free_probe = {
	.symbol_name = "ftrace_free_filter",
	.pre_handler = on_free,
};

static struct kprobe *probes[] = { &rude_probe, &tasks_probe, &free_probe };

static int __init watch_init(void)
{
	int err = register_kretprobe(&register_probe);

	if (err)
		return err;
	err = register_kprobes(probes, ARRAY_SIZE(probes));
	if (err)
		unregister_kretprobe(&register_probe);
	return err;
}

static void __exit watch_exit(void)
{
	unregister_kprobes(probes, ARRAY_SIZE(probes));
	unregister_kretprobe(&register_probe);
}

module_init(watch_init);
module_exit(watch_exit);
MODULE_DESCRIPTION("Sees ftrace_ops that are freed too early, for tests");
MODULE_LICENSE("GPL");
