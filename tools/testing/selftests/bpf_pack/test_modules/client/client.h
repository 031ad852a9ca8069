/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BPF_PACK_CLIENT_H
#define BPF_PACK_CLIENT_H

#include <linux/printk.h>
#include <linux/types.h>

/* A test case: true if all went as it should. */
struct client_case {
	const char *name;
	bool (*run)(void);
};

extern const struct client_case client_life_cases[];
extern const struct client_case client_misuse_cases[];
extern const struct client_case client_many_cases[];
extern const struct client_case client_fault_cases[];

/* Times that each thread of the concurrent case makes and frees an image. */
extern unsigned int client_rounds;

/* A line of the report in the kernel log, marked as ours. */
#define report(fmt, ...) pr_info(KBUILD_MODNAME ": " fmt, ##__VA_ARGS__)

/* Notes in the local variable `ok` that a condition does not hold. */
#define EXPECT(condition)						\
	do {								\
		if (!(condition)) {					\
			report("# %s:%d: not so: %s\n", __FILE_NAME__,	\
			       __LINE__, #condition);			\
			ok = false;					\
		}							\
	} while (0)

#endif /* BPF_PACK_CLIENT_H */
