// SPDX-License-Identifier: GPL-2.0
/*
 * A tiny JIT that knows only the header of bpf_pack: the self-test of the C interface.
 * The cases run at insmod and report in KTAP to the kernel's log; insmod fails with
 * EINVAL if a case fails.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "client.h"

unsigned int client_rounds = 300;
module_param_named(rounds, client_rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "images that each thread of the concurrent case makes (default 300)");

static const struct client_case *const suites[] = {
	one_image_cases,
	wrong_calls_cases,
	many_images_cases,
	bad_source_cases,
};

static int __init client_init(void)
{
	unsigned int planned = 0, done = 0, failed = 0;
	const struct client_case *test;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(suites); i++)
		for (test = suites[i]; test->run; test++)
			planned++;
	report("KTAP version 1\n");
	report("1..%u\n", planned);
	for (i = 0; i < ARRAY_SIZE(suites); i++) {
		for (test = suites[i]; test->run; test++) {
			bool ok = test->run();

			failed += !ok;
			report("%s %u - %s\n", ok ? "ok" : "not ok", ++done, test->name);
		}
	}
	report("# bpf_pack_client: %u passed, %u failed\n", done - failed, failed);
	return failed ? -EINVAL : 0;
}

static void __exit client_exit(void)
{
}

module_init(client_init);
module_exit(client_exit);

MODULE_AUTHOR("The bpf_pack developers");
MODULE_DESCRIPTION("Self-test of the C interface of bpf_pack");
MODULE_LICENSE("GPL");
