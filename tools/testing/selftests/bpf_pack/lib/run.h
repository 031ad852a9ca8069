/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One run of one program: what a test case does, and what it found out. A case
 * loads and runs its programs and, while they live, hands them to
 * run_place_*(), which walk the page tables behind each of their images.
 */
#ifndef BPF_PACK_RUN_H
#define BPF_PACK_RUN_H

#include "placement.h"
#include "progs/state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

enum expect {
	EXPECT_STOCK,	/* images in base pages of the stock allocator */
	EXPECT_PACK,	/* images in packs of bpf_pack, each a 2 MiB leaf */
	EXPECT_ANY,	/* images in packs of bpf_pack, of whatever leaves */
};

enum outcome { PASS, FAIL, SKIP };

struct run {
	enum expect expect;
	enum outcome result;	/* of loading and running */
	char why[256];		/* why not PASS */
	enum outcome place;	/* of looking where the images are */
	char place_why[256];
	size_t images;		/* how many were looked at */
	size_t served;		/* how many allocations they need at least */
	struct image_list trampolines; /* before the case began */
};

struct test_case {
	const char *name;
	void (*go)(struct run *run);
	bool on_request;	/* too slow or large unless asked for by name */
};

extern const struct test_case cases_net[];
extern const struct test_case cases_trace[];
extern const struct test_case cases_cgroup[];
extern const struct test_case cases_link[];
extern const struct test_case cases_classic[];
extern const struct test_case cases_big[];

/* Looks at settings that the cases' own network namespace does not show. */
void run_prepare(void);

/* Enters the folder of this binary, where the objects are; 0, or -1 and errno. */
int run_enter_folder(void);

/* Says that the case failed or cannot be tried here; the first reason stays. */
void run_fail(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void run_skip(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Fails the case unless @got is @want. */
void run_expect(struct run *run, const char *what, long long got, long long want);

/* Opens and loads progs/NAME.bpf.o; NULL after run_fail(). */
struct bpf_object *run_open(struct run *run, const char *name);
struct bpf_object *run_load(struct run *run, const char *name);

/* The file descriptor of program @name of @object, -1 after run_fail(). */
int run_prog_fd(struct run *run, struct bpf_object *object, const char *name);

/* Runs program @fd once with a packet of @size bytes (0: without); its result. */
int run_test(struct run *run, int fd, void *packet, size_t size);
/* The same, @repeat times over in one call; some kinds of programs take 0 only, for once. */
int run_test_repeated(struct run *run, int fd, void *packet, size_t size, int repeat);

/* The same with a packet of PACKET zeroes. */
#define PACKET 64
int run_packet(struct run *run, int fd);

/* Makes the kernel call bpf_fentry_test1() and its kin once. */
void run_trigger_fentry_tests(struct run *run);

/* Reads and writes the element of the map "state". */
void state_write(struct run *run, struct bpf_object *object, const struct state *state);
struct state state_read(struct run *run, struct bpf_object *object);

/* Looks where the images of a program, of all programs of an object, and of the
 * trampolines made since the case began are. Call while they live.
 */
void run_place_fd(struct run *run, int fd);
void run_place_object(struct run *run, struct bpf_object *object);
void run_place_trampolines(struct run *run);

/* For images that show no address: their number must show in status. */
void run_place_by_counter(struct run *run, long long served_before, size_t images);

/* Brings up the loopback device of this network namespace. */
int loopback_up(void);

#endif /* BPF_PACK_RUN_H */
