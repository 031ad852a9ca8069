/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Short-lived programs, as a machine with many services has them: a socket filter that
 * takes the place of another and sees one packet, now and then a process with a filter of
 * system calls, which ends at once, and now and then an iterator, as tools load it that list
 * what the kernel has.
 */
#ifndef BENCH_CHURN_H
#define BENCH_CHURN_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "btf.h"

/* Socket filters that live at a time. */
#define FILTERS 64
/* One in so many is a filter of system calls. */
#define SECCOMP_EVERY 16
/* And one in so many, never the same one, is an iterator. */
#define ITERATOR_EVERY 32
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

/* iterate - loads a program that sees each of the kernel's maps, runs it, and is gone. */
static inline void iterate(void)
{
	static unsigned int id;
	union bpf_attr attr = { 0 };
	int program, link, iterator;
	char text[16];

	if (!id)
		id = function_id("bpf_iter_bpf_map");
	program = load_tracing(id, BPF_TRACE_ITER);
	if (program < 0)
		err(1, "an iterator");
	attr.link_create.prog_fd = program;
	attr.link_create.attach_type = BPF_TRACE_ITER;
	link = bpf(BPF_LINK_CREATE, &attr);
	if (link < 0)
		err(1, "BPF_LINK_CREATE");
	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = link;
	iterator = bpf(BPF_ITER_CREATE, &attr);
	/* The program prints nothing. */
	if (iterator < 0 || read(iterator, text, sizeof(text)))
		err(1, "an iterator's run");
	close(iterator);
	close(link);
	close(program);
}

/* churn - loads short-lived programs; each frees one of before. */
static inline void churn(unsigned int count)
{
	static unsigned int number;

	for (; count; count--, number++) {
		if (number % SECCOMP_EVERY == SECCOMP_EVERY - 1)
			filter_calls();
		else if (number % ITERATOR_EVERY == ITERATOR_EVERY - 2)
			iterate();
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
