// SPDX-License-Identifier: GPL-2.0
/*
 * Attaches classic filters to sockets and keeps them until it gets SIGTERM. Ends with
 * status 1 if one of them ever cut a packet to a wrong length.
 */
#include <errno.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_COUNT 2000
#define PACKET 64

static const char usage[] =
	"Usage: hold_classic COUNT INSNS\n"
	"\n"
	"Attaches COUNT socket filters of INSNS classic instructions (2 to 4096) each, tests\n"
	"each, prints \"ready\", waits for SIGTERM, and tests each again. Large ones need a\n"
	"higher net.core.optmem_max.\n";

static volatile sig_atomic_t stopped;

/* The sockets of each filter: packets go in at [0] and come out at [1]. */
static int pairs[MAX_COUNT][2];

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* The length to which filter @number cuts packets. */
static unsigned int kept_bytes(unsigned int number)
{
	return 1 + number % (PACKET - 1);
}

/* Makes a socket pair with a filter at the receiving end; 0 or a negative errno. */
static int attach(int pair[2], unsigned int number, unsigned int insns)
{
	struct sock_filter *code = calloc(insns, sizeof(*code));
	struct sock_fprog program = { .len = insns, .filter = code };
	int err = 0;

	if (!code)
		return -ENOMEM;
	/* The JIT makes the most instructions of loads from the packet. */
	for (unsigned int i = 0; i < insns - 1; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, i % 16 * 4);
	code[insns - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, kept_bytes(number));
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) ||
	    setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		err = -errno;
	free(code);
	return err;
}

/* True if the filter cuts a packet to its length. */
static bool works(const int pair[2], unsigned int number)
{
	char packet[PACKET] = {};
	ssize_t got = -1;

	if (send(pair[0], packet, sizeof(packet), MSG_DONTWAIT) == PACKET)
		got = recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT);
	if (got == kept_bytes(number))
		return true;
	printf("filter %u: received %zd bytes, not %u\n", number, got, kept_bytes(number));
	return false;
}

/* Attaches and tests @count filters of @insns instructions; false if one fails. */
static bool attach_all(unsigned int count, unsigned int insns)
{
	bool ok = true;

	for (unsigned int i = 0; i < count; i++) {
		int err = attach(pairs[i], i, insns);

		if (err) {
			printf("attach filter %u: %s\n", i, strerror(-err));
			return false;
		}
		ok &= works(pairs[i], i);
	}
	return ok;
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = 2 * MAX_COUNT + 16, .rlim_max = 2 * MAX_COUNT + 16 };
	unsigned int count, insns;
	bool ok;

	if (argc != 3) {
		fputs(usage, stderr);
		return 2;
	}
	count = strtoul(argv[1], NULL, 0);
	insns = strtoul(argv[2], NULL, 0);
	if (count > MAX_COUNT || insns < 2 || insns > BPF_MAXINSNS) {
		fputs(usage, stderr);
		return 2;
	}
	setlinebuf(stdout);
	signal(SIGTERM, stop);
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		printf("open files: %s\n", strerror(errno));
		return 1;
	}
	ok = attach_all(count, insns);
	if (!ok)
		return 1;
	puts("ready");
	while (!stopped)
		usleep(10000);
	for (unsigned int i = 0; i < count; i++)
		ok &= works(pairs[i], i);
	return !ok;
}
