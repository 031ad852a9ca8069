// SPDX-License-Identifier: GPL-2.0
#include "placement.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WALK "/sys/kernel/debug/bpf_pack_ptwalk/walk"
#define STATUS "/sys/kernel/debug/bpf_pack/status"

static int images_add(struct image_list *list, uint64_t address, uint64_t length)
{
	if (list->count == MAX_IMAGES)
		return -E2BIG;
	list->image[list->count++] = (struct image){ address, length };
	return 0;
}

int images_of_program(int fd, struct image_list *list)
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
	/* Not jited, or the kernel hides addresses. */
	if (!info.jited_prog_len || !info.nr_jited_ksyms || !address[0])
		return -ENODATA;
	for (uint32_t i = 0; i < info.nr_jited_ksyms && i < MAX_IMAGES; i++) {
		err = images_add(list, address[i], length[i]);
		if (err)
			return err;
	}
	return 0;
}

int images_of_trampolines(struct image_list *list)
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

void images_new(const struct image_list *before, const struct image_list *now,
		struct image_list *fresh)
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
	/* An address behind which there is no leaf has neither span nor permissions. */
	if (!field(text, "leaf=", leaf->name, sizeof(leaf->name)))
		snprintf(leaf->name, sizeof(leaf->name), "%.*s", (int)strcspn(text, "\n"), text);
	if (field(text, "span=", span, sizeof(span)))
		leaf->span = strtoull(span, NULL, 0);
	field(text, "perm=", leaf->perm, sizeof(leaf->perm));
	return 0;
}

long long status_value(const char *key)
{
	FILE *file = fopen(STATUS, "re");
	long long value = -ENOENT;
	char line[512];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		const char *text = line + strspn(line, " \t");
		size_t length = strlen(key);

		if (strncmp(text, key, length))
			continue;
		text += length;
		text += strspn(text, " \t");
		if (*text++ != ':')
			continue;
		text += strspn(text, " \t");
		if (isdigit((unsigned char)*text))
			value = strtoll(text, NULL, 0);
		break;
	}
	fclose(file);
	return value;
}

bool status_has_address(uint64_t address)
{
	FILE *file = fopen(STATUS, "re");
	char line[512];
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		/* A range is two kernel addresses with one dash between them. */
		const char *dash = line;

		while (!found && (dash = strchr(dash + 1, '-'))) {
			unsigned long long start, end;
			const char *text = dash;

			while (text > line && (isxdigit((unsigned char)text[-1]) || text[-1] == 'x'))
				text--;
			if (sscanf(text, "%llx-%llx", &start, &end) == 2 && start >> 63)
				found = address >= start && address < end;
		}
	}
	fclose(file);
	return found;
}
