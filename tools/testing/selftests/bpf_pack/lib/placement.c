// SPDX-License-Identifier: GPL-2.0
#include "placement.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WALK "/sys/kernel/debug/bpf_pack_ptwalk/walk"

static int images_add(struct seen_images *list, uint64_t address, uint64_t length)
{
	if (list->count == MAX_IMAGES)
		return -E2BIG;
	list->image[list->count++] = (struct seen_image){ address, length };
	return 0;
}

int images_of_program(int fd, struct seen_images *list)
{
	uint64_t address[MAX_IMAGES] = {};
	uint32_t length[MAX_IMAGES] = {};
	struct bpf_prog_info info = {
		.nr_jited_ksyms = MAX_IMAGES,
		.jited_ksyms = (uintptr_t)address,
		.nr_jited_func_lens = MAX_IMAGES,
		.jited_func_lens = (uintptr_t)length,
	};
	uint32_t size = sizeof(info);
	int err;

	if (bpf_prog_get_info_by_fd(fd, &info, &size))
		return -errno;
	/* The program is not jited, or the kernel hides addresses. */
	if (!info.jited_prog_len || !info.nr_jited_ksyms || !address[0])
		return -ENODATA;
	for (uint32_t i = 0; i < info.nr_jited_ksyms && i < MAX_IMAGES; i++) {
		err = images_add(list, address[i], length[i]);
		if (err)
			return err;
	}
	return 0;
}

int images_of_trampolines(struct seen_images *list)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	if (!file)
		return -errno;
	while (!err && getline(&line, &size, file) > 0) {
		unsigned long long address;
		char name[128];

		if (!strstr(line, "\t[bpf]"))
			continue;
		if (sscanf(line, "%llx %*c %127s", &address, name) != 2)
			continue;
		if (strncmp(name, "bpf_trampoline_", 15) && strncmp(name, "bpf__", 5))
			continue;
		err = address ? images_add(list, address, 0) : -ENODATA;
	}
	free(line);
	fclose(file);
	return err;
}

void images_new(const struct seen_images *before, const struct seen_images *now,
		struct seen_images *fresh)
{
	for (size_t i = 0; i < now->count; i++) {
		bool known = false;

		for (size_t j = 0; j < before->count; j++)
			known |= before->image[j].address == now->image[i].address;
		if (!known)
			images_add(fresh, now->image[i].address, now->image[i].length);
	}
}

bool leaf_available(void)
{
	return access(WALK, R_OK | W_OK) == 0;
}

/* Copies the text after KEY= up to a blank, or between quotes. */
static bool field(const char *text, const char *key, char *value, size_t size)
{
	const char *start = strstr(text, key), *end;

	if (!start)
		return false;
	start += strlen(key);
	if (*start == '"')
		end = strchr(++start, '"');
	else
		end = start + strcspn(start, " \n");
	if (!end)
		return false;
	snprintf(value, size, "%.*s", (int)(end - start), start);
	return true;
}

int leaf_of(uint64_t address, struct leaf *leaf)
{
	char text[512], span[32];
	ssize_t length;
	int fd;

	memset(leaf, 0, sizeof(*leaf));
	fd = open(WALK, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = snprintf(text, sizeof(text), "0x%llx\n", (unsigned long long)address);
	if (write(fd, text, length) != length) {
		length = -errno;
		close(fd);
		return length;
	}
	length = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	/* Where nothing is mapped, the answer has neither span nor permissions. */
	if (!field(text, "leaf=", leaf->name, sizeof(leaf->name)))
		snprintf(leaf->name, sizeof(leaf->name), "%.*s", (int)strcspn(text, "\n"), text);
	if (field(text, "span=", span, sizeof(span)))
		leaf->span = strtoull(span, NULL, 0);
	field(text, "perm=", leaf->perm, sizeof(leaf->perm));
	return 0;
}
