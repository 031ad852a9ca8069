// SPDX-License-Identifier: GPL-2.0
#include "charge.h"
#include "limited.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT "/proc/sys/net/core/bpf_jit_limit"

static long long saved_limit = -1;

static long long limit_read(void)
{
	FILE *file = fopen(LIMIT, "re");
	long long value = -EINVAL;

	if (!file)
		return -errno;
	if (fscanf(file, "%lld", &value) != 1)
		value = -EINVAL;
	fclose(file);
	return value;
}

static int limit_write(long long value)
{
	FILE *file = fopen(LIMIT, "we");
	int err = 0;

	if (!file)
		return -errno;
	if (fprintf(file, "%lld\n", value) < 0)
		err = -errno;
	/* fclose() writes, and so gets the kernel's answer. */
	if (fclose(file) && !err)
		err = -errno;
	return err;
}

int charge_prepare(void)
{
	saved_limit = limit_read();
	return saved_limit < 0 ? (int)saved_limit : limited_start();
}

void charge_finish(void)
{
	limited_stop();
	if (saved_limit > 0)
		limit_write(saved_limit);
}

/* The jited length of a program, 0 if it is interpreted. */
static long long jited_length(int fd)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_prog_get_info_by_fd(fd, &info, &size))
		return -errno;
	return info.jited_prog_len;
}

int charge_try(long long limit, bool *jited)
{
	int err, fd;

	err = limit_write(limit);
	if (err)
		return err;
	fd = limited_load(42);
	err = limit_write(saved_limit);
	if (fd >= 0)
		*jited = jited_length(fd) > 0;
	if (err && fd >= 0)
		close(fd);
	return err ?: fd;
}

/* Closes a program and waits until the kernel has given its charge back. */
static void close_and_wait(int fd, unsigned int milliseconds)
{
	close(fd);
	/* A worker frees it after a grace period. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	usleep(milliseconds * 1000);
}

/*
 * The charge for the program of charge_try(): its code, 8 bytes for the target of a far
 * call, 8 of header and 16 for a random start, rounded up to chunks of 64
 * (bpf_jit_binary_pack_alloc() and the arm64 JIT).
 */
static long long own_charge(long long length)
{
	length = (length + 8 + 7) & ~7LL;
	return (length + 8 + 16 + 63) & ~63LL;
}

/* Finds the lowest limit at which the program is jited, and with it the charge. */
static long long bisect(unsigned int milliseconds)
{
	long long least = 0, most = 0, own = 0, middle;
	bool jited = false;
	int fd;

	/* Not jited with @least, jited with @most. Upwards first: that needs no waiting. */
	while (!most || most - least > 1) {
		middle = most ? least + (most - least) / 2 : 2 * least + 1;
		if (middle > saved_limit)
			return -EDQUOT;
		fd = charge_try(middle, &jited);
		if (fd < 0)
			return fd;
		if (jited) {
			own = own_charge(jited_length(fd));
			most = middle;
			close_and_wait(fd, milliseconds);
		} else {
			least = middle;
			close(fd);
		}
	}
	return most - own;
}

long long charge_measure(void)
{
	long long first, second;

	/* A free that comes late looks like a charge: measures until two agree. */
	for (unsigned int milliseconds = 10; milliseconds < 700; milliseconds *= 2) {
		first = bisect(milliseconds);
		second = bisect(milliseconds);
		if (first < 0 || first == second)
			return first;
	}
	return -EAGAIN;
}
