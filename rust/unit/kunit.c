// SPDX-License-Identifier: GPL-2.0
/*
 * The unit tests as suites of KUnit, in the test build for a kernel that has it: one
 * test for each suite, whose parameters are the cases.
 */
#include <kunit/test.h>
#include <linux/module.h>

#include "kunit.h"

/* The numbers are those of SUITES in unit.rs. */
enum {
	SUITE_region,
	SUITE_poke,
	SUITE_service,
	SUITE_packs,
};

/* A parameter must not be NULL: it is the number of a case plus one. */
static const void *next_case(u32 suite, const void *previous, char *name)
{
	uintptr_t nr = (uintptr_t)previous;

	if (!bpf_pack_unit_name(suite, nr, name, KUNIT_PARAM_DESC_SIZE))
		return NULL;
	return (const void *)(nr + 1);
}

#define SUITE(title)									\
static const void *title##_next(struct kunit *test, const void *previous, char *name)	\
{											\
	return next_case(SUITE_##title, previous, name);				\
}											\
											\
static void title##_case(struct kunit *test)						\
{											\
	uintptr_t number = (uintptr_t)test->param_value;				\
											\
	KUNIT_EXPECT_TRUE(test, bpf_pack_unit_run(SUITE_##title, number - 1));		\
}											\
											\
static struct kunit_case title##_cases[] = {						\
	KUNIT_CASE_PARAM(title##_case, title##_next),					\
	{}										\
};											\
											\
static struct kunit_suite title##_suite = {						\
	.name = "bpf_pack_" #title,							\
	.test_cases = title##_cases,							\
}

SUITE(region);
SUITE(poke);
SUITE(service);
SUITE(packs);

kunit_test_suites(&region_suite, &poke_suite, &service_suite, &packs_suite);
