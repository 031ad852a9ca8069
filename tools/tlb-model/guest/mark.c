// SPDX-License-Identifier: GPL-2.0
/* Markers for shell scripts: regions are global, so this can bracket commands. */
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "markers.h"

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "start")) {
		unsigned long id = number(argv[2]);

		tlb_region_start(id);
	} else if (argc == 2 && !strcmp(argv[1], "stop")) {
		tlb_region_stop();
	} else if (argc == 5 && !strcmp(argv[1], "range")) {
		unsigned long slot = number(argv[2]), low = number(argv[3]), high = number(argv[4]);

		tlb_class_range(slot, low, high);
	} else if (argc == 2 && !strcmp(argv[1], "begin")) {
		tlb_begin();
	} else if (argc == 2 && !strcmp(argv[1], "flush")) {
		tlb_flush();
	} else {
		errx(2, "usage: mark begin | start ID | stop | range SLOT LOW HIGH | flush");
	}
	return 0;
}
