// SPDX-License-Identifier: GPL-2.0
/*
 * Classic BPF: socket filters and seccomp. The kernel shows no address of such images:
 * the counters of bpf_pack say how many of them it served.
 */
#include "cases.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH(code) (sizeof(code) / sizeof(*(code)))

static void socket_classic(struct run *run)
{
	/* Cuts packets that begin with "keep" to six bytes and drops others. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x6b656570, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 6),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = LENGTH(code), .filter = code };
	long long served = status_value("images_served");
	char buffer[32];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) {
		run_fail(run, "socketpair: %s", strerror(errno));
		return;
	}
	if (setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		run_fail(run, "attach: %s", strerror(errno));
	send(pair[0], "drop this", 9, 0);
	send(pair[0], "keep this", 9, 0);
	run_expect(run, "length received", recv(pair[1], buffer, sizeof(buffer), MSG_DONTWAIT), 6);
	if (memcmp(buffer, "keep t", 6))
		run_fail(run, "received \"%.6s\"", buffer);
	run_expect(run, "packets left", recv(pair[1], buffer, sizeof(buffer), MSG_DONTWAIT), -1);
	run_place_by_counter(run, served, 1);
	close(pair[0]);
	close(pair[1]);
}

/* In a child: the errno of getppid() under a filter, or 250 and up for an error. */
static int filtered_getppid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 123),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = LENGTH(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 250;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 251;
	if (syscall(SYS_getpid) != getpid())
		return 252;
	errno = 0;
	return syscall(SYS_getppid) == -1 ? errno : 253;
}

static void seccomp(struct run *run)
{
	long long served = status_value("images_served");
	pid_t child = fork();
	int status;

	if (!child)
		_exit(filtered_getppid());
	waitpid(child, &status, 0);
	run_expect(run, "wait status", WIFEXITED(status), 1);
	run_expect(run, "errno of getppid", WEXITSTATUS(status), 123);
	run_place_by_counter(run, served, 1);
}

const struct test_case cases_classic[] = {
	{ "classic_socket", socket_classic },
	{ "classic_seccomp", seccomp },
	{},
};
