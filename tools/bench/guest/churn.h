/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Short-lived programs, as a machine with many services has them: a socket filter that
 * takes the place of another and sees one packet, and now and then a process with a
 * filter of system calls, which ends at once.
 */
#ifndef BENCH_CHURN_H
#define BENCH_CHURN_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "program.h"

/* Socket filters that live at a time. */
#define FILTERS 64
/* One in so many is a filter of system calls. */
#define SECCOMP_EVERY 16
#define PACKET 64

#define LOAD_WORD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)

/* filter_packets - a new filter that keeps @kept bytes of each packet. */
static inline void filter_packets(unsigned int slot, unsigned int kept)
{
	static int pairs[FILTERS][2];
	struct sock_filter code[] = { LOAD_WORD, BPF_STMT(BPF_RET | BPF_K, kept) };
	struct sock_fprog program = { .len = 2, .filter = code };
	char packet[PACKET] = { 0 };

	if (!pairs[slot][0] && socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[slot]))
		err(1, "socketpair");
	if (setsockopt(pairs[slot][1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		err(1, "SO_ATTACH_FILTER");
	if (send(pairs[slot][0], packet, PACKET, 0) != PACKET)
		err(1, "send");
	if (recv(pairs[slot][1], packet, PACKET, 0) != kept)
		errx(1, "a filter did not keep %u bytes", kept);
}

/* filter_calls - a process with a filter that lets all system calls pass. */
static inline void filter_calls(void)
{
	struct sock_filter code[] = { LOAD_WORD, BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { .len = 2, .filter = code };
	pid_t child = fork();
	int status;

	if (child < 0)
		err(1, "fork");
	if (!child)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	if (waitpid(child, &status, 0) < 0 || status)
		errx(1, "a process with a seccomp filter failed");
}

/* churn - loads short-lived programs; each frees one of before. */
static inline void churn(unsigned int count)
{
	static unsigned int number;

	for (; count; count--, number++) {
		if (number % SECCOMP_EVERY == SECCOMP_EVERY - 1)
			filter_calls();
		else
			filter_packets(number % FILTERS, 1 + number % (PACKET - 1));
	}
}

/* module_synchronisations - the module's own counter; 0 without the module. */
static inline long module_synchronisations(void)
{
	FILE *file = fopen("/sys/kernel/debug/bpf_pack/status", "r");
	char line[256];
	long value = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		sscanf(line, "synchronisations: %ld", &value);
	fclose(file);
	return value;
}

#endif
