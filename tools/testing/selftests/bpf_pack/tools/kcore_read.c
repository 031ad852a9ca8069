// SPDX-License-Identifier: GPL-2.0
/*
 * Reads kernel memory through /proc/kcore, as debuggers do, and says if it is all
 * zeroes.
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KCORE "/proc/kcore"

static const char usage[] =
	"Usage: kcore_read ADDRESS LENGTH\n"
	"\n"
	"Prints \"zeroes\" or \"data\". Status 3 if there is no such memory in " KCORE ".\n";

/* The offset of @address in the file, -1 if it has no such memory. */
static off_t offset_of(int fd, unsigned long address, unsigned long length)
{
	Elf64_Phdr segment;
	Elf64_Ehdr header;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		err(1, "read the header of " KCORE);
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		off_t at = header.e_phoff + (off_t)i * header.e_phentsize;

		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			err(1, "read a segment of " KCORE);
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
		    length <= segment.p_memsz &&
		    address - segment.p_vaddr <= segment.p_memsz - length)
			return segment.p_offset + (address - segment.p_vaddr);
	}
	return -1;
}

int main(int argc, char **argv)
{
	static const char zeroes[4096];
	unsigned long address, length;
	char buffer[sizeof(zeroes)];
	int fd, data = 0;
	off_t offset;

	if (argc != 3) {
		fputs(usage, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	address = strtoul(argv[1], NULL, 0);
	length = strtoul(argv[2], NULL, 0);
	fd = open(KCORE, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		warn(KCORE);
		return 3;
	}
	offset = offset_of(fd, address, length);
	if (offset < 0) {
		warnx("no segment of " KCORE " has 0x%lx", address);
		return 3;
	}
	while (length) {
		size_t part = length < sizeof(buffer) ? length : sizeof(buffer);
		ssize_t got = pread(fd, buffer, part, offset);

		if (got <= 0)
			err(1, "read " KCORE);
		data |= !!memcmp(buffer, zeroes, got);
		offset += got;
		length -= got;
	}
	puts(data ? "data" : "zeroes");
	return 0;
}
