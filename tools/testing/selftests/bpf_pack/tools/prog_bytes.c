// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the images of all loaded programs as the kernel reads them for bpftool: through
 * their executable addresses.
 */
#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: prog_bytes FOLDER\n"
	"\n"
	"Writes the image of each program to FOLDER/ID and prints \"ID ADDRESS LENGTH\". The\n"
	"address is that of the program, without its subprograms; the length is that of all.\n";

static struct bpf_prog_info info_of(int fd, void *bytes, uint32_t length, uint64_t *address)
{
	struct bpf_prog_info info = {
		.nr_jited_ksyms = 1,
		.jited_ksyms = (uintptr_t)address,
		.jited_prog_insns = (uintptr_t)bytes,
		.jited_prog_len = length,
	};
	uint32_t size = sizeof(info);

	if (bpf_prog_get_info_by_fd(fd, &info, &size))
		err(1, "read about a program");
	return info;
}

static void write_image(uint32_t id, const void *bytes, size_t length)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%u", id);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		err(1, "write %s", name);
	close(fd);
}

static void read_program(uint32_t id)
{
	int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info;
	uint64_t address = 0;
	void *bytes;

	/* It was freed meanwhile. */
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0)
		err(1, "program %u", id);
	info = info_of(fd, NULL, 0, &address);
	bytes = calloc(1, info.jited_prog_len);
	if (!bytes)
		err(1, "memory");
	info = info_of(fd, bytes, info.jited_prog_len, &address);
	if (!info.jited_prog_insns || !address)
		errx(1, "program %u: the kernel does not show its image", id);
	write_image(id, bytes, info.jited_prog_len);
	printf("%u 0x%llx %u\n", id, (unsigned long long)address, info.jited_prog_len);
	free(bytes);
	close(fd);
}

int main(int argc, char **argv)
{
	uint32_t id = 0;

	if (argc != 2) {
		fputs(usage, stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (chdir(argv[1]))
		err(1, "%s", argv[1]);
	while (!bpf_prog_get_next_id(id, &id))
		read_program(id);
	if (errno != ENOENT)
		err(1, "list the programs");
	return 0;
}
