// SPDX-License-Identifier: GPL-2.0
/* Programs attached to a control group that a child process enters. */
#include "cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKED_PORT 4711
#define OPEN_PORT 4712

struct group {
	char path[96];
	int fd;
};

/* The mount point of cgroup2; NULL if there is none. */
static const char *cgroup_root(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	char path[64];

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s/cgroup.controllers", places[i]);
		if (!access(path, F_OK))
			return places[i];
	}
	return NULL;
}

static bool group_make(struct run *run, struct group *group)
{
	const char *root = cgroup_root();

	group->fd = -1;
	if (!root) {
		run_skip(run, "cgroup2 is not mounted");
		return false;
	}
	snprintf(group->path, sizeof(group->path), "%s/bpf_pack_test.%d", root, getpid());
	if (mkdir(group->path, 0755)) {
		run_fail(run, "make %s: %s", group->path, strerror(errno));
		return false;
	}
	group->fd = open(group->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return true;
}

static void group_remove(struct group *group)
{
	close(group->fd);
	rmdir(group->path);
}

/* What @act returns in a child inside the group; 99 if the child did not get in. */
static int in_group(const struct group *group, int (*act)(void))
{
	char path[128], text[16];
	int status, fd, length;
	pid_t child = fork();

	if (child)
		return waitpid(child, &status, 0) == child && WIFEXITED(status) ?
			WEXITSTATUS(status) : 99;
	snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	length = snprintf(text, sizeof(text), "%d", getpid());
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, length) != length)
		_exit(99);
	close(fd);
	_exit(act());
}

static int make_datagram_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? errno : 0;
}

static int make_stream_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int send_to(int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		return 98;
	return sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static int send_blocked(void)
{
	return send_to(BLOCKED_PORT);
}

static int send_open(void)
{
	return send_to(OPEN_PORT);
}

/* A child in the group runs @blocked with the program and without it, and @open with it. */
static void with_program(struct run *run, const char *name, const char *prog_name,
			 const struct state *state, int (*blocked)(void), int (*open)(void))
{
	struct bpf_object *object = run_load(run, name);
	struct bpf_link *link;
	struct group group;

	if (!object)
		return;
	state_write(run, object, state);
	if (group_make(run, &group)) {
		link = bpf_program__attach_cgroup(
			bpf_object__find_program_by_name(object, prog_name), group.fd);
		if (!link)
			run_fail(run, "attach: %s", strerror(errno));
		run_expect(run, "errno of what is forbidden", in_group(&group, blocked), EPERM);
		run_expect(run, "errno of what is allowed", in_group(&group, open), 0);
		run_place_object(run, object);
		bpf_link__destroy(link);
		run_expect(run, "errno after detaching", in_group(&group, blocked), 0);
		group_remove(&group);
	}
	bpf_object__close(object);
}

static void cgroup_sock(struct run *run)
{
	/* The program counts all processes of the group. */
	struct state state = {};

	with_program(run, "cgroup_sock", "cgroup_sock", &state, make_datagram_socket,
		     make_stream_socket);
}

static void cgroup_skb(struct run *run)
{
	struct state state = { .input = BLOCKED_PORT };

	with_program(run, "cgroup_skb", "cgroup_skb", &state, send_blocked, send_open);
}

const struct test_case cases_cgroup[] = {
	{ "cgroup_sock", cgroup_sock },
	{ "cgroup_skb", cgroup_skb },
	{},
};
