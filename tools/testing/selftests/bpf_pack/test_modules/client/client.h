/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_PACK_CLIENT_H
#define BPF_PACK_CLIENT_H

#include <linux/printk.h>
#include <linux/types.h>

/* A test case; @run returns true if it passes. */
struct client_case {
	const char *name;
	bool (*run)(void);
};

extern const struct client_case one_image_cases[];
extern const struct client_case wrong_calls_cases[];
extern const struct client_case many_images_cases[];
extern const struct client_case bad_source_cases[];

/* Images that each thread of the concurrent case makes and frees. */
extern unsigned int client_rounds;

/* Prints a line of the report to the kernel's log, with our name before it. */
#define report(fmt, ...) pr_info(KBUILD_MODNAME ": " fmt, ##__VA_ARGS__)

/* Sets the local variable `ok` to false if a condition does not hold. */
#define EXPECT(condition)						\
	do {								\
		if (!(condition)) {					\
			report("# %s:%d: not so: %s\n", __FILE_NAME__,	\
			       __LINE__, #condition);			\
			ok = false;					\
		}							\
	} while (0)

#endif /* BPF_PACK_CLIENT_H */
