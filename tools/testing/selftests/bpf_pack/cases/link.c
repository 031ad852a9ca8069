// SPDX-License-Identifier: GPL-2.0
/* Programs of several images that call, replace or serve one another. */
#include "cases.h"
#include "attach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRANSFER (256 << 10)
#define MAX_TAIL_CALLS 33

static void subprograms(struct run *run)
{
	struct bpf_object *object = run_load(run, "subprogs");

	if (!object)
		return;
	run_expect(run, "result", run_packet(run, run_prog_fd(run, object, "subprogs")),
		   2 * (3 * PACKET + 3 * (PACKET + 1)) + 99 * 100 / 2);
	run_place_object(run, object);
	/* The entry, global(), twice(), leaf() and the callback. */
	run_expect(run, "images", run->images, 5);
	bpf_object__close(object);
}

static void tail_calls(struct run *run)
{
	struct bpf_object *object = run_load(run, "tail_call");
	struct state state;

	if (!object)
		return;
	run_expect(run, "result", run_packet(run, run_prog_fd(run, object, "tail_call")), 77);
	state = state_read(run, object);
	run_expect(run, "order of calls", state.value, 123);
	/* The first program is not a tail call; the last one that fits is. */
	run_expect(run, "programs run", state.hits, 1 + MAX_TAIL_CALLS);
	run_place_object(run, object);
	bpf_object__close(object);
}

static void freplace(struct run *run)
{
	struct bpf_object *target = run_load(run, "freplace_target"), *object;
	struct bpf_link *link;
	int fd;

	if (!target)
		return;
	fd = run_prog_fd(run, target, "freplace_target");
	object = attach_load(run, "freplace", fd, 0);
	if (object) {
		run_expect(run, "result before", run_packet(run, fd), TARGET_ORIGINAL);
		link = bpf_program__attach_freplace(bpf_object__next_program(object, NULL), 0, NULL);
		if (!link)
			run_fail(run, "attach: %s", strerror(errno));
		run_expect(run, "result while replaced", run_packet(run, fd), TARGET_REPLACED);
		run_place_object(run, target);
		run_place_object(run, object);
		bpf_link__destroy(link);
		run_expect(run, "result after", run_packet(run, fd), TARGET_ORIGINAL);
	}
	bpf_object__close(object);
	bpf_object__close(target);
}

static void probe_mem(struct run *run)
{
	/* Not canonical; in the last page; one that a user could map. */
	static const __u64 bad[] = { 0xdead000000000000, -4096UL, 4096 };
	struct bpf_object *object = run_load(run, "probe_mem");
	struct state state = {};
	int fd;

	if (!object)
		return;
	fd = run_prog_fd(run, object, "probe_mem");
	state_write(run, object, &state);
	run_expect(run, "current process", run_packet(run, fd), getpid());
	if (!state_read(run, object).value)
		run_fail(run, "the current task reads as zero");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		state = (struct state){ .input = bad[i], .value = 1 };
		state_write(run, object, &state);
		run_expect(run, "load from a bad pointer", run_packet(run, fd), 0);
		run_expect(run, "long load from a bad pointer", state_read(run, object).value, 0);
	}
	run_place_object(run, object);
	bpf_object__close(object);
}

static void arena(struct run *run)
{
	struct bpf_object *object = run_load(run, "arena");
	struct state state = { .hits = 1 };

	if (!object)
		return;
	state_write(run, object, &state);
	run_expect(run, "result", run_test(run, run_prog_fd(run, object, "arena_access"), NULL, 0), 0);
	state = state_read(run, object);
	run_expect(run, "sum", state.value, 99 * 100 / 2);
	run_expect(run, "load from a freed page", state.hits, 0);
	run_place_object(run, object);
	bpf_object__close(object);
}

/* Sends over the loopback device with congestion control @name. */
static void transfer(struct run *run, const char *name)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char buffer[16 << 10];
	long long received = 0;
	ssize_t got;
	pid_t child;
	int in;

	if (setsockopt(out, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)))
		run_fail(run, "choose %s: %s", name, strerror(errno));
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length)) {
		run_fail(run, "listen: %s", strerror(errno));
		goto out;
	}
	child = fork();
	if (!child) {
		for (int sent = 0; !sent && !connect(out, (struct sockaddr *)&address, length);) {
			for (; sent < TRANSFER; sent += sizeof(buffer))
				if (send(out, buffer, sizeof(buffer), MSG_NOSIGNAL) != sizeof(buffer))
					_exit(1);
		}
		_exit(0);
	}
	close(out);
	out = -1;
	in = accept(listener, NULL, NULL);
	while ((got = recv(in, buffer, sizeof(buffer), 0)) > 0)
		received += got;
	run_expect(run, "bytes received", received, TRANSFER);
	close(in);
	waitpid(child, NULL, 0);
out:
	close(listener);
	if (out >= 0)
		close(out);
}

static void struct_ops(struct run *run)
{
	struct bpf_object *object = run_load(run, "struct_ops");
	struct bpf_link *link;
	struct state state;

	if (!object)
		return;
	link = bpf_map__attach_struct_ops(bpf_object__find_map_by_name(object, "congestion"));
	if (link) {
		transfer(run, "bpf_pack_reno");
		state = state_read(run, object);
		run_expect(run, "connections", state.value, 1);
		if (!state.hits)
			run_fail(run, "the congestion control was never asked");
		run_place_object(run, object);
		run_place_trampolines(run);
	} else {
		run_fail(run, "attach: %s", strerror(errno));
	}
	bpf_link__destroy(link);
	bpf_object__close(object);
}

const struct test_case cases_link[] = {
	{ "subprograms", subprograms },
	{ "tail_calls", tail_calls },
	{ "freplace", freplace },
	{ "probe_mem", probe_mem },
	{ "arena", arena },
	{ "struct_ops", struct_ops },
	{},
};
