/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's text: addresses of symbols, and the instructions there. */
#ifndef BENCH_KERNEL_TEXT_H
#define BENCH_KERNEL_TEXT_H

#include <elf.h>
#include <fcntl.h>

#include "program.h"

#define KCORE "/proc/kcore"

/* read_text - reads kernel memory through the kernel's core file, as debuggers do. */
static inline void read_text(unsigned long address, void *to, size_t length)
{
	static int fd = -1;
	static Elf64_Ehdr header;
	Elf64_Phdr segment;
	unsigned int i;

	if (fd < 0) {
		fd = open(KCORE, O_RDONLY);
		if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
			err(1, KCORE);
	}
	for (i = 0; i < header.e_phnum; i++) {
		off_t at = header.e_phoff + (off_t)i * header.e_phentsize;

		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			err(1, KCORE);
		if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
		    address - segment.p_vaddr >= segment.p_memsz)
			continue;
		at = segment.p_offset + (address - segment.p_vaddr);
		if (pread(fd, to, length, at) != (ssize_t)length)
			err(1, KCORE ": %#lx", address);
		return;
	}
	errx(1, KCORE ": no %#lx", address);
}

/*
 * patched_call - where the call at the patch site of a function leads. The site is one of the
 * first instructions: MOV X9, LR before BL.
 */
static inline unsigned long patched_call(unsigned long function)
{
	uint32_t words[4];
	unsigned int i;

	read_text(function, words, sizeof(words));
	for (i = 1; i < 4; i++)
		if (words[i - 1] == 0xaa1e03e9 && words[i] >> 26 == 0x25)
			return function + 4 * i + ((int32_t)(words[i] << 6) >> 4);
	errx(1, "no call at the entry of %#lx", function);
}

#endif
