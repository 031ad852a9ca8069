// SPDX-License-Identifier: GPL-2.0
/*
 * Calls the allocator directly, for the benchmark. Write a command to
 * bench_direct in debugfs and read its lines of JSON there:
 *
 *	beside VIA LIVE BYTES...	costs of one image beside LIVE others
 *	alone VIA BYTES...		costs of one image with nothing else live
 *	masked				a stretch of known length with interrupts off
 *	random VIA LIVE COUNT SEED	COUNT random operations, and a digest of places
 *
 * VIA is "jit" (the kernel's entry points for its JIT, which lead to the stock allocator
 * or through bpf_pack's hooks) or "abi" (bpf_pack's own functions).
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "direct.h"

#define LOG_BYTES (256 * 1024)
#define MAX_COMMAND 256
#define MAX_NUMBERS 8

static unsigned int region = 5000;
module_param(region, uint, 0444);
MODULE_PARM_DESC(region, "number of the first region (default 5000)");

static struct dentry *file;
static DEFINE_MUTEX(lock);
static char *lines;
static size_t length;

/* say - adds to the answer. */
void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	length += vscnprintf(lines + length, LOG_BYTES - length, format, arguments);
	va_end(arguments);
}

unsigned int next_region(void)
{
	return region++;
}

int rest(unsigned int milliseconds)
{
	return msleep_interruptible(milliseconds) ? -EINTR : 0;
}

/* run - runs a command. */
static int run(char *text)
{
	char *command = strsep(&text, " "), *name = strsep(&text, " "), *word;
	const struct allocator *by;
	u32 numbers[MAX_NUMBERS];
	u32 count = 0;
	int err = 0;

	if (!strcmp(command, "masked")) {
		known_stretch();
		return 0;
	}
	while ((word = strsep(&text, " ")) && !err) {
		if (count == MAX_NUMBERS)
			return -E2BIG;
		err = kstrtou32(word, 0, &numbers[count++]);
	}
	if (err)
		return err;
	by = name ? allocator_get(name) : NULL;
	if (!by)
		return -ENOENT;
	if (!strcmp(command, "beside") && count > 1)
		err = costs_beside(by, numbers[0], numbers + 1, count - 1);
	else if (!strcmp(command, "alone") && count)
		err = costs_alone(by, numbers, count);
	else if (!strcmp(command, "random") && count == 3)
		err = random_ops(by, numbers[0], numbers[1], numbers[2]);
	else
		err = -EINVAL;
	allocator_put(by);
	/* A full buffer has cut the answer off. */
	return err ?: length + 1 < LOG_BYTES ? err : -ENOSPC;
}

static ssize_t direct_write(struct file *from, const char __user *buffer, size_t size,
			    loff_t *position)
{
	char text[MAX_COMMAND] = "";
	int err;

	if (size >= sizeof(text))
		return -E2BIG;
	if (copy_from_user(text, buffer, size))
		return -EFAULT;
	err = mutex_lock_interruptible(&lock);
	if (err)
		return err;
	length = 0;
	err = run(strim(text));
	mutex_unlock(&lock);
	return err ?: size;
}

static ssize_t direct_read(struct file *from, char __user *buffer, size_t size, loff_t *position)
{
	ssize_t got;
	int err = mutex_lock_interruptible(&lock);

	if (err)
		return err;
	got = simple_read_from_buffer(buffer, size, position, lines, length);
	mutex_unlock(&lock);
	return got;
}

static const struct file_operations direct_operations = {
	.owner = THIS_MODULE,
	.read = direct_read,
	.write = direct_write,
	.llseek = default_llseek,
};

static int __init direct_init(void)
{
	int err = allocators_find();

	if (err)
		return err;
	lines = kvmalloc(LOG_BYTES, GFP_KERNEL);
	if (!lines)
		return -ENOMEM;
	file = debugfs_create_file("bench_direct", 0600, NULL, NULL, &direct_operations);
	return 0;
}

static void __exit direct_exit(void)
{
	debugfs_remove(file);
	kvfree(lines);
}

module_init(direct_init);
module_exit(direct_exit);

MODULE_AUTHOR("The bpf_pack developers");
MODULE_DESCRIPTION("Calls the BPF program allocator directly, for the benchmark");
MODULE_LICENSE("GPL");
