// SPDX-License-Identifier: GPL-2.0
/*
 * Parent and child have different code at one address and take turns on the CPU, for
 * 200 rounds each: a TLB that ignores the ASID calls the other's code.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "markers.h"

#define ROUNDS 200

static void rounds(char *code, unsigned int value)
{
	int round;

	write_code(code, value);
	for (round = 0; round < ROUNDS; round++) {
		if (((code_fn)code)() != value)
			errx(1, "round %d: the other process's code ran", round);
		sched_yield();
	}
}

int main(int argc, char **argv)
{
	unsigned long id = argc == 2 ? number(argv[1]) : 0;
	int status;
	char *code;
	pid_t child;

	if (argc != 2)
		errx(2, "usage: fork ID");
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		err(1, "mmap");
	write_code(code, 3);

	after_tick();
	tlb_region_start(id);
	child = fork();
	if (child < 0)
		err(1, "fork");
	rounds(code, child ? 1 : 2);
	if (!child)
		_exit(0);
	if (waitpid(child, &status, 0) != child || status)
		errx(1, "the child failed");
	tlb_region_stop();
	printf("fork %lu: %d rounds\n", id, ROUNDS);
	return 0;
}
