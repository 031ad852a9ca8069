// SPDX-License-Identifier: GPL-2.0
/* Prints the number of bytes charged against net.core.bpf_jit_limit. */
#include "charge.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	long long bytes;
	int err;

	if (argc > 1) {
		puts("Usage: jit_charge\n\n"
		     "Prints the bytes that are charged against net.core.bpf_jit_limit, found by\n"
		     "lowering the limit for a moment. Needs root. Status 4: this cannot be measured here.");
		return strcmp(argv[1], "--help") ? 2 : 0;
	}
	err = charge_prepare();
	if (err) {
		fprintf(stderr, "no process bound by the limit: %s\n", strerror(-err));
		return 4;
	}
	bytes = charge_measure();
	charge_finish();
	if (bytes < 0) {
		fprintf(stderr, "measure: %s\n", strerror(-bytes));
		return 1;
	}
	printf("%lld\n", bytes);
	return 0;
}
