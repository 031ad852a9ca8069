// SPDX-License-Identifier: GPL-2.0
/*
 * Loads COUNT programs and prints where their images and the kernel's text are, in order
 * of loading, as one JSON line. The programs are gone when it ends.
 */
#include "program.h"

#define MAX_COUNT 64
#define BYTES 256

static struct bpf_insn insns[MAX_INSNS];

/* text_start - where the kernel's text is. */
static unsigned long text_start(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long address, found = 0;
	char line[1024], name[64];

	if (!file)
		err(1, "/proc/kallsyms");
	while (!found && fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx %*c %63s", &address, name) == 2 && !strcmp(name, "_text"))
			found = address;
	fclose(file);
	if (!found)
		errx(1, "/proc/kallsyms: no address of _text");
	return found;
}

int main(int argc, char **argv)
{
	unsigned int count, n = 0, i;

	if (argc != 3)
		errx(2, "usage: places RANDOMIZE COUNT");
	count = number(argv[2]);
	if (!count || count > MAX_COUNT)
		errx(2, "1 to %u programs", MAX_COUNT);
	/* Nothing else is loaded before: the first image is the first of all. */
	insns[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	while (n < BYTES / 4)
		insns[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_0, 0, 0, 1);
	insns[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	printf("{\"line\":\"places\",\"randomize\":%lu,\"text\":%lu,\"images\":[", number(argv[1]),
	       text_start());
	for (i = 0; i < count; i++)
		printf("%s%lu", i ? "," : "", inspect(load(insns, n)).address);
	puts("]}");
	return 0;
}
