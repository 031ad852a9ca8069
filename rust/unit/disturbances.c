// SPDX-License-Identifier: GPL-2.0
/*
 * What a measured stretch of a task has to do without. Only in the test build.
 */
#include <linux/kernel_stat.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include "../helpers.h"

u64 bpf_pack_unit_disturbances(void)
{
	return kstat_cpu_irqs_sum(raw_smp_processor_id()) + current->nvcsw + current->nivcsw;
}
