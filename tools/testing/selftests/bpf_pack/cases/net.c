// SPDX-License-Identifier: GPL-2.0
/* Programs that the kernel runs on packets. */
#include "cases.h"

#include <linux/pkt_cls.h>
#include <string.h>

static void fill(unsigned char *packet)
{
	for (int i = 0; i < PACKET; i++)
		packet[i] = i + 1;
}

static void socket_filter(struct run *run)
{
	struct bpf_object *object = run_load(run, "socket_filter");
	unsigned char packet[PACKET];
	int fd;

	if (!object)
		return;
	fill(packet);
	fd = run_prog_fd(run, object, "socket_filter");
	/* The kernel removes the Ethernet header: the program adds bytes 15 to 22. */
	run_expect(run, "sum", run_test(run, fd, packet, sizeof(packet)), 148);
	run_place_object(run, object);
	bpf_object__close(object);
}

static void xdp(struct run *run)
{
	struct bpf_object *object = run_load(run, "xdp");
	unsigned char packet[PACKET], sent[PACKET];
	int fd;

	if (!object)
		return;
	fill(packet);
	memcpy(sent, packet, sizeof(sent));
	fd = run_prog_fd(run, object, "xdp_swap");
	run_expect(run, "verdict", run_test(run, fd, packet, sizeof(packet)), XDP_TX);
	if (memcmp(packet, sent + 6, 6) || memcmp(packet + 6, sent, 6) ||
	    memcmp(packet + 12, sent + 12, PACKET - 12))
		run_fail(run, "the addresses were not swapped");
	/*
	 * For two runs or more, and for an XDP program on a device, the kernel makes the
	 * image of its XDP dispatcher, which it never frees. If that image were ours, the
	 * module could not be removed at the end of the test.
	 */
	run_expect(run, "verdict of the last of two",
		   run_test_repeated(run, fd, packet, sizeof(packet), 2), XDP_TX);
	run_place_object(run, object);
	bpf_object__close(object);
}

static void tc(struct run *run)
{
	struct bpf_object *object = run_load(run, "tc");
	unsigned char packet[PACKET];
	__u32 words[2];
	int fd;

	if (!object)
		return;
	fill(packet);
	fd = run_prog_fd(run, object, "tc_store");
	run_expect(run, "verdict", run_test(run, fd, packet, sizeof(packet)), TC_ACT_SHOT);
	memcpy(words, packet + 16, sizeof(words));
	run_expect(run, "stored length", words[0], PACKET);
	run_expect(run, "stored mark", words[1], 0);
	run_place_object(run, object);
	bpf_object__close(object);
}

const struct test_case cases_net[] = {
	{ "socket_filter", socket_filter },
	{ "xdp", xdp },
	{ "tc", tc },
	{},
};
