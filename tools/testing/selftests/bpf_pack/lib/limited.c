// SPDX-License-Identifier: GPL-2.0
#include "limited.h"
#include "generate.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each of the two processes has one end of a socket pair. */
static int channel = -1;
static pid_t loader = -1;

/* Sends a number, and file descriptor @fd unless that is negative. */
static int send_message(int number, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec data = { &number, sizeof(number) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(channel, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives them; @fd gets -1 if the other side sent no descriptor. */
static int receive_message(int *number, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec data = { number, sizeof(*number) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;

	*fd = -1;
	if (recvmsg(channel, &message, 0) != sizeof(*number))
		return -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int enter_user_namespace(void)
{
	int err;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	err = write_file("/proc/self/setgroups", "deny");
	err = err ?: write_file("/proc/self/uid_map", "0 0 1");
	return err ?: write_file("/proc/self/gid_map", "0 0 1");
}

/* Opens a BPF file system of this namespace, which the parent mounts, and gets a token. */
static int get_token(void)
{
	int fs, mount, number, root, token, err;

	err = enter_user_namespace();
	if (err)
		return err;
	fs = syscall(SYS_fsopen, "bpf", 0);
	if (fs < 0)
		return -errno;
	err = send_message(0, fs) ?: receive_message(&number, &mount);
	close(fs);
	if (err || number)
		return err ?: number;
	root = openat(mount, ".", 0, O_RDWR);
	token = root < 0 ? -1 : bpf_token_create(root, NULL);
	err = token < 0 ? -errno : 0;
	close(root);
	close(mount);
	return err ?: token;
}

/* The loader: answers each value with a program or an errno. */
static void serve(void)
{
	int token = get_token(), value, unused, fd;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_TOKEN_FD, .token_fd = token);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	send_message(token < 0 ? token : 0, -1);
	while (token >= 0 && !receive_message(&value, &unused)) {
		struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, value), EXIT() };

		fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "limited", "GPL", insns, 2, &opts);
		send_message(fd < 0 ? -errno : 0, fd);
		close(fd);
	}
}

/* Mounts the loader's BPF file system so that everything is delegated to it. */
static int delegate(int fs)
{
	static const char *const options[] = { "delegate_cmds", "delegate_maps", "delegate_progs",
					       "delegate_attachs" };
	int mount;

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[i], "any", 0))
			return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	mount = syscall(SYS_fsmount, fs, 0, 0);
	return mount < 0 ? -errno : mount;
}

int limited_start(void)
{
	int pair[2], number, fs, mount, err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	loader = fork();
	if (!loader) {
		close(pair[0]);
		channel = pair[1];
		serve();
		_exit(0);
	}
	close(pair[1]);
	channel = pair[0];
	err = receive_message(&number, &fs);
	if (err || number)
		goto fail;
	mount = delegate(fs);
	close(fs);
	if (mount < 0)
		number = mount;
	err = send_message(number, mount);
	if (mount >= 0)
		close(mount);
	/* The loader says that it has its token. */
	err = err ?: receive_message(&number, &fs);
fail:
	if (err || number)
		limited_stop();
	return err ?: number;
}

void limited_stop(void)
{
	close(channel);
	if (loader > 0)
		waitpid(loader, NULL, 0);
	channel = loader = -1;
}

int limited_load(int value)
{
	int number, fd;
	int err = send_message(value, -1) ?: receive_message(&number, &fd);

	if (err || number)
		return err ?: number;
	return fd;
}
