// SPDX-License-Identifier: GPL-2.0
/*
 * Opens the debugfs files of bpf_pack again and again, keeps them open until it gets
 * SIGTERM, and prints their number. A file that can be opened while insmod fails
 * outlives the module.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define DIRECTORY "/sys/kernel/debug/bpf_pack/"
#define MAX_OPEN 256

static const char *const files[] = { DIRECTORY "status", DIRECTORY "control" };

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

int main(void)
{
	unsigned long tries = 0;
	int fds[MAX_OPEN];
	size_t count = 0;

	setlinebuf(stdout);
	signal(SIGTERM, stop);
	puts("ready");
	while (!stopped) {
		int fd;

		if (count == MAX_OPEN) {
			usleep(10000);
			continue;
		}
		fd = open(files[tries++ % 2], O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			fds[count++] = fd;
	}
	printf("%lu tries\n", tries);
	printf("opened %zu\n", count);
	while (count)
		close(fds[--count]);
	puts("closed");
	return 0;
}
