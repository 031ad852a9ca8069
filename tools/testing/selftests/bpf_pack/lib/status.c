// SPDX-License-Identifier: GPL-2.0
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STATUS "/sys/kernel/debug/bpf_pack/status"

/* One line of the file: "KEY: VALUE", or "pack START-END: ..." with the key "pack". */
struct status_line {
	char key[48];
	long long value;
	uint64_t start;
	uint64_t end;
};

/* Reads on to the next line with a number or a pack; false at the end of the file. */
static bool next_line(FILE *file, struct status_line *line)
{
	unsigned long long start, end;
	char text[512];

	while (fgets(text, sizeof(text), file)) {
		memset(line, 0, sizeof(*line));
		if (sscanf(text, "pack %llx-%llx:", &start, &end) == 2) {
			strcpy(line->key, "pack");
			line->start = start;
			line->end = end;
			return true;
		}
		if (sscanf(text, "%47[a-z_]: %lld", line->key, &line->value) == 2)
			return true;
	}
	return false;
}

long long status_value(const char *key)
{
	FILE *file = fopen(STATUS, "re");
	long long value = -ENOENT;
	struct status_line line;

	if (!file)
		return -errno;
	while (value < 0 && next_line(file, &line))
		if (!strcmp(line.key, key))
			value = line.value;
	fclose(file);
	return value;
}

bool status_has_address(uint64_t address)
{
	FILE *file = fopen(STATUS, "re");
	struct status_line line;
	bool found = false;

	if (!file)
		return false;
	while (!found && next_line(file, &line))
		found = address >= line.start && address < line.end;
	fclose(file);
	return found;
}
