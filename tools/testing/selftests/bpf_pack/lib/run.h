/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a tool finds out while it loads and runs BPF programs. While the programs
 * live, the tool hands them to run_place_*(), which look into the page tables at
 * the addresses of all their images.
 */
#ifndef BPF_PACK_RUN_H
#define BPF_PACK_RUN_H

#include "placement.h"
#include "status.h"
#include "progs/state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Where images must be. */
enum expect {
	EXPECT_STOCK,	/* in base pages of the stock allocator */
	EXPECT_PACK,	/* in packs of bpf_pack, each a 2 MiB leaf */
	EXPECT_ANY,	/* in packs of bpf_pack, whatever their leaves are */
};

enum outcome { PASS, FAIL, SKIP };

struct run {
	enum expect expect;
	enum outcome result;	/* of loading and running */
	char why[256];		/* the reason, unless PASS */
	enum outcome place;	/* of looking where the images are */
	char place_why[256];	/* the reason, unless PASS */
	size_t images;		/* images looked at */
	size_t served;		/* allocations that these need, at least */
	struct seen_images trampolines; /* before the case began */
};

/* Reads net.core.bpf_jit_harden, which other network namespaces do not show. */
void run_prepare(void);

/* Enters the folder of this binary, which has progs/; 0, or -1 and errno. */
int run_enter_folder(void);

/* Note that the run failed, or that it cannot be tried here; the first reason stays. */
void run_fail(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void run_skip(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Fails the run unless @got is @want. */
void run_expect(struct run *run, const char *what, long long got, long long want);

/* Opens and loads progs/NAME.bpf.o; NULL after run_fail(). */
struct bpf_object *run_open(struct run *run, const char *name);
struct bpf_object *run_load(struct run *run, const char *name);

/* The file descriptor of program @name of @object, -1 after run_fail(). */
int run_prog_fd(struct run *run, struct bpf_object *object, const char *name);

/* Bytes of the packets here. */
#define PACKET 64

/* Runs program @fd once with a packet of @size bytes, 0 for none; its result. */
int run_test(struct run *run, int fd, void *packet, size_t size);
/* Runs it @repeat times; 0 means once, and some kinds of programs take nothing else. */
int run_test_repeated(struct run *run, int fd, void *packet, size_t size, int repeat);
/* Runs it once with a packet of PACKET zeroes. */
int run_packet(struct run *run, int fd);

/* Makes the kernel call bpf_fentry_test1() and the functions like it once. */
void run_trigger_fentry_tests(struct run *run);

/*
 * Whether to make an event once more that a program has to see, after @tries times. The
 * kernel drops the event of a probe if another task is inside BPF code on that CPU
 * (bpf_prog_active). That task may have been preempted there, so that it gets the CPU
 * for a millisecond before a second try.
 */
bool run_event_again(int tries);

/* Reads and writes the element of the map "state". */
void state_write(struct run *run, struct bpf_object *object, const struct state *state);
struct state state_read(struct run *run, struct bpf_object *object);

/*
 * Look where the images are: those of a program, of all programs of an object, and
 * of the trampolines that are not in run->trampolines. Call while they live.
 */
void run_place_fd(struct run *run, int fd);
void run_place_object(struct run *run, struct bpf_object *object);
void run_place_trampolines(struct run *run);

/* For images whose address the kernel does not show: status must count @images more. */
void run_place_by_counter(struct run *run, long long served_before, size_t images);

/* Brings up the loopback device of this network namespace. */
int loopback_up(void);

#endif /* BPF_PACK_RUN_H */
