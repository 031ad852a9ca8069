// SPDX-License-Identifier: GPL-2.0
/* Runs a command as a user without any rights. */
#include <err.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534

static const char usage[] =
	"Usage: as_nobody COMMAND ARGUMENT...\n"
	"\n"
	"Runs COMMAND as user and group 65534, without other groups and without capabilities.\n";

int main(int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "--help")) {
		fputs(usage, argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	/* Leaving user 0 takes all capabilities away. */
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		err(1, "become user %d", NOBODY);
	if (!setuid(0))
		errx(1, "can become root again");
	execvp(argv[1], argv + 1);
	err(1, "%s", argv[1]);
}
