/* SPDX-License-Identifier: GPL-2.0 */
/* The cases of run_progs: each loads, runs and checks one kind of BPF program. */
#ifndef BPF_PACK_CASES_H
#define BPF_PACK_CASES_H

#include "run.h"

struct test_case {
	const char *name;
	void (*go)(struct run *run);
	bool on_request;	/* too slow or large to run unless it is named */
};

/* One table for each file here; an entry without a name ends it. */
extern const struct test_case cases_big[];
extern const struct test_case cases_cgroup[];
extern const struct test_case cases_classic[];
extern const struct test_case cases_link[];
extern const struct test_case cases_net[];
extern const struct test_case cases_trace[];

#endif /* BPF_PACK_CASES_H */
