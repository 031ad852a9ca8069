// SPDX-License-Identifier: GPL-2.0
/*
 * Tries to write to kernel memory by all ways that a process has, also one of root. Each
 * way is first tried on memory of the process, where it must succeed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"

static const char usage[] =
	"Usage: attack_memory ADDRESS PHYSICAL\n"
	"\n"
	"ADDRESS is one of the kernel, PHYSICAL where its memory is. Prints KTAP.\n";

static unsigned long own_word = 1;

/* A way to write to @address: 0 if it did, or a negative errno. */
typedef int way_fn(unsigned long address);

static int by_store(unsigned long address)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile unsigned long *)address = 2;
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		return -errno;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
		return -EFAULT;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static int by_process_vm_writev(unsigned long address)
{
	unsigned long word = 2;
	struct iovec from = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iovec to = { .iov_base = (void *)address, .iov_len = sizeof(word) };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == sizeof(word) ? 0 : -errno;
}

static int by_ptrace(unsigned long address)
{
	pid_t child = fork();
	int err = 0;

	if (child < 0)
		return -errno;
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(child, NULL, 0) != child || ptrace(PTRACE_POKETEXT, child, address, 2UL))
		err = -errno;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return err;
}

/* Writes a word to @file at @offset. pwrite() takes no offset that is negative as a number. */
static int to_file(const char *file, off_t offset)
{
	unsigned long word = 2;
	int fd = open(file, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (lseek(fd, offset, SEEK_SET) != offset)
		err = -errno;
	else
		err = write(fd, &word, sizeof(word)) == sizeof(word) ? 0 : -errno;
	close(fd);
	return err;
}

static int by_proc_mem(unsigned long address)
{
	return to_file("/proc/self/mem", address);
}

/* The kernel writes where the process says. */
static int by_read(unsigned long address)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = read(fd, (void *)address, sizeof(long)) == sizeof(long) ? 0 : -errno;
	close(fd);
	return err;
}

static int by_mprotect(unsigned long address)
{
	unsigned long page = address & -sysconf(_SC_PAGESIZE);

	return mprotect((void *)page, 1, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int by_kcore(unsigned long address)
{
	return to_file("/proc/kcore", address & 0xffffffffffff);
}

static int by_dev_mem(unsigned long physical)
{
	return to_file("/dev/mem", physical);
}

static int by_dev_mem_read(unsigned long physical)
{
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC), err;
	unsigned long word;

	if (fd < 0)
		return -errno;
	err = pread(fd, &word, sizeof(word), physical) == sizeof(word) ? 0 : -errno;
	close(fd);
	return err;
}

static int by_dev_mem_map(unsigned long physical)
{
	off_t page = physical & -sysconf(_SC_PAGESIZE);
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC), err;
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);
	err = map == MAP_FAILED ? -errno : 0;
	if (!err)
		munmap(map, 4096);
	close(fd);
	return err;
}

/* @way fails on @target with @wanted, and succeeds on memory of our own if it can. */
static void lose(const char *what, way_fn *way, unsigned long target, int wanted, bool has_own)
{
	int own = has_own ? way((unsigned long)&own_word) : 0;
	int err = way(target);

	if (own)
		ksft_print_msg("%s: on memory of our own: %s\n", what, strerror(-own));
	if (err != wanted)
		ksft_print_msg("%s: %s, wanted: %s\n", what, err ? strerror(-err) : "written",
			       strerror(-wanted));
	ksft_test_result(!own && err == wanted, "%s\n", what);
}

int main(int argc, char **argv)
{
	unsigned long address, physical;

	if (argc != 3) {
		fputs(usage, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	address = strtoul(argv[1], NULL, 0);
	physical = strtoul(argv[2], NULL, 0);
	setlinebuf(stdout);
	ksft_print_header();
	ksft_set_plan(10);
	lose("a store in user mode ends in SIGSEGV", by_store, address, -EFAULT, true);
	lose("process_vm_writev() is refused", by_process_vm_writev, address, -EFAULT, true);
	lose("ptrace() is refused", by_ptrace, address, -EIO, true);
	lose("writing to /proc/self/mem is refused", by_proc_mem, address, -EIO, true);
	lose("reading a file into it is refused", by_read, address, -EFAULT, true);
	lose("mprotect() is refused", by_mprotect, address, -ENOMEM, true);
	lose("writing to /proc/kcore is refused", by_kcore, address, -EIO, false);
	lose("writing to /dev/mem is refused", by_dev_mem, physical, -EPERM, false);
	lose("reading from /dev/mem is refused", by_dev_mem_read, physical, -EPERM, false);
	lose("mapping /dev/mem is refused", by_dev_mem_map, physical, -EPERM, false);
	ksft_finished();
}
