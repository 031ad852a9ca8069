// SPDX-License-Identifier: GPL-2.0
#include "run.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* True if kallsyms leaves out what the JIT made. */
static bool hardened;

void run_prepare(void)
{
	FILE *file = fopen("/proc/sys/net/core/bpf_jit_harden", "re");
	int level = 0;

	if (!file)
		return;
	hardened = fscanf(file, "%d", &level) == 1 && level > 0;
	fclose(file);
}

static void decide(enum outcome *outcome, char *why, size_t size, enum outcome value,
		   const char *format, va_list args)
{
	/* A failure outranks a skip; otherwise the first reason counts. */
	if (*outcome == FAIL || (*outcome == SKIP && value == SKIP))
		return;
	*outcome = value;
	vsnprintf(why, size, format, args);
}

void run_fail(struct run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	decide(&run->result, run->why, sizeof(run->why), FAIL, format, args);
	va_end(args);
}

void run_skip(struct run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	decide(&run->result, run->why, sizeof(run->why), SKIP, format, args);
	va_end(args);
}

__attribute__((format(printf, 3, 4)))
static void place(struct run *run, enum outcome value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	decide(&run->place, run->place_why, sizeof(run->place_why), value, format, args);
	va_end(args);
}

void run_expect(struct run *run, const char *what, long long got, long long want)
{
	if (got != want)
		run_fail(run, "%s is %lld, not %lld", what, got, want);
}

struct bpf_object *run_open(struct run *run, const char *name)
{
	struct bpf_object *object;
	char path[128];

	snprintf(path, sizeof(path), "progs/%s.bpf.o", name);
	object = bpf_object__open(path);
	if (!object)
		run_fail(run, "open %s: %s", path, strerror(errno));
	return object;
}

struct bpf_object *run_load(struct run *run, const char *name)
{
	struct bpf_object *object = run_open(run, name);

	if (object && bpf_object__load(object)) {
		run_fail(run, "load %s: %s", name, strerror(errno));
		bpf_object__close(object);
		object = NULL;
	}
	return object;
}

int run_prog_fd(struct run *run, struct bpf_object *object, const char *name)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(object, name);
	int fd = prog ? bpf_program__fd(prog) : -1;

	if (fd < 0)
		run_fail(run, "no program %s", name);
	return fd;
}

int run_test(struct run *run, int fd, void *packet, size_t size)
{
	return run_test_repeated(run, fd, packet, size, 0);
}

int run_test_repeated(struct run *run, int fd, void *packet, size_t size, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = packet, .data_size_in = size,
		.data_out = packet, .data_size_out = size,
		.repeat = repeat,
	);

	if (bpf_prog_test_run_opts(fd, &opts))
		run_fail(run, "test run: %s", strerror(errno));
	return opts.retval;
}

int run_enter_folder(void)
{
	char path[PATH_MAX] = "";

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return -1;
	return chdir(dirname(path));
}

int run_packet(struct run *run, int fd)
{
	unsigned char packet[PACKET] = {};

	return run_test(run, fd, packet, sizeof(packet));
}

void run_trigger_fentry_tests(struct run *run)
{
	struct bpf_object *object = run_load(run, "fentry");

	if (!object)
		return;
	run_test(run, run_prog_fd(run, object, "fentry"), NULL, 0);
	bpf_object__close(object);
}

bool run_event_again(int tries)
{
	if (tries)
		usleep(1000);
	return tries < 100;
}

void state_write(struct run *run, struct bpf_object *object, const struct state *state)
{
	int map = bpf_object__find_map_fd_by_name(object, "state");
	__u32 zero = 0;

	if (bpf_map_update_elem(map, &zero, state, BPF_ANY))
		run_fail(run, "write state: %s", strerror(errno));
}

struct state state_read(struct run *run, struct bpf_object *object)
{
	int map = bpf_object__find_map_fd_by_name(object, "state");
	struct state state = {};
	__u32 zero = 0;

	if (bpf_map_lookup_elem(map, &zero, &state))
		run_fail(run, "read state: %s", strerror(errno));
	return state;
}

static void place_address(struct run *run, uint64_t address)
{
	bool pack = run->expect != EXPECT_STOCK;
	struct leaf leaf;
	int err = leaf_of(address, &leaf);

	if (err)
		place(run, FAIL, "walk of %llx: %s", (unsigned long long)address, strerror(-err));
	else if (strcmp(leaf.perm, "r-x"))
		place(run, FAIL, "%llx is %s, not r-x", (unsigned long long)address, leaf.perm);
	else if (run->expect != EXPECT_ANY && pack != (leaf.span >= PACK_SIZE))
		place(run, FAIL, "%llx is in a %s", (unsigned long long)address, leaf.name);
	else if (pack != status_has_address(address))
		place(run, FAIL, "%llx is %s a pack that status lists",
		      (unsigned long long)address, pack ? "not in" : "in");
}

static void place_image(struct run *run, const struct seen_image *image)
{
	uint64_t last = image->address + (image->length ? image->length - 1 : 0);

	run->images++;
	if (!leaf_available()) {
		place(run, SKIP, "bpf_pack_ptwalk is not loaded");
		return;
	}
	for (uint64_t at = image->address; at < last; at += PACK_SIZE)
		place_address(run, at);
	place_address(run, last);
}

static void place_list(struct run *run, const struct seen_images *list)
{
	for (size_t i = 0; i < list->count; i++)
		place_image(run, &list->image[i]);
}

void run_place_fd(struct run *run, int fd)
{
	struct seen_images list = {};
	int err = images_of_program(fd, &list);

	if (err == -ENODATA)
		place(run, FAIL, "not jited, or kernel.kptr_restrict hides the address");
	else if (err)
		place(run, FAIL, "program info: %s", strerror(-err));
	place_list(run, &list);
	run->served += list.count;
}

void run_place_object(struct run *run, struct bpf_object *object)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, object)
		run_place_fd(run, bpf_program__fd(prog));
}

void run_place_trampolines(struct run *run)
{
	struct seen_images now = {}, fresh = {};
	int err = images_of_trampolines(&now);

	if (err) {
		place(run, FAIL, "trampolines in kallsyms: %s", strerror(-err));
		return;
	}
	images_new(&run->trampolines, &now, &fresh);
	if (!fresh.count && hardened)
		printf("# net.core.bpf_jit_harden hides trampolines: only counted\n");
	else if (!fresh.count)
		place(run, FAIL, "kallsyms shows no trampoline");
	place_list(run, &fresh);
	/* Several trampolines of struct_ops share an allocation. */
	run->served++;
}

void run_place_by_counter(struct run *run, long long served_before, size_t images)
{
	long long served = status_value("images_served");

	if (run->expect == EXPECT_STOCK && served < 0)
		place(run, SKIP, "the kernel tells no address of such a program");
	else if (served < 0 || served_before < 0)
		place(run, FAIL, "status has no line \"images_served\"");
	else if (run->expect == EXPECT_STOCK && served != served_before)
		place(run, FAIL, "%lld images served", served - served_before);
	else if (run->expect != EXPECT_STOCK && served - served_before < (long long)images)
		place(run, FAIL, "%lld images served, not %zu", served - served_before, images);
	run->images += images;
	run->served += images;
}

int loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}
