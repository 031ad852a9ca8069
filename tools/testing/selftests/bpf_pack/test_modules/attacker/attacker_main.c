// SPDX-License-Identifier: GPL-2.0
/*
 * Does what an attacker or a faulty caller inside the kernel might do to memory of BPF
 * images, on the stock kernel and beside bpf_pack. One writes a request to the parameter
 * `request`, a word and up to three numbers, and reads the answer from `answer`.
 */
#include <linux/filter.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/insn-def.h>

#include "bpf_pack.h"
#include "jump.h"

#define ARGUMENTS 3
/* Every chunk of a pack begins at a multiple of this. */
#define CHUNK 64

static char answer[80] = "none";
module_param_string(answer, answer, sizeof(answer), 0400);
MODULE_PARM_DESC(answer, "what came of the last request");

#define say(fmt, ...) snprintf(answer, sizeof(answer), fmt, ##__VA_ARGS__)

/* Memory that is writable: the attacks succeed on it. */
static u64 own_data[8];

/* --- functions of the kernel that are not exported -------------------------- */

static typeof(bpf_prog_pack_alloc) *pack_alloc;
static typeof(bpf_prog_pack_free) *pack_free;
static typeof(bpf_arch_text_copy) *text_copy;
static typeof(copy_to_kernel_nofault) *copy_to_kernel;

static void *address_of(const char *name)
{
	struct kprobe probe = { .symbol_name = name };

	if (register_kprobe(&probe))
		return NULL;
	unregister_kprobe(&probe);
	return probe.addr;
}

static int find_functions(void)
{
	pack_alloc = address_of("bpf_prog_pack_alloc");
	pack_free = address_of("bpf_prog_pack_free");
	text_copy = address_of("bpf_arch_text_copy");
	copy_to_kernel = address_of("copy_to_kernel_nofault");
	return pack_alloc && pack_free && text_copy && copy_to_kernel ? 0 : -ENOENT;
}

static void fill_with_traps(void *area, unsigned int size)
{
	memset32(area, AARCH64_BREAK_FAULT, size / 4);
}

/* --- writing and looking ---------------------------------------------------- */

/* Writes what is there anyway, so that a success does not crash anybody. */
static void write_to(void *target)
{
	u64 word = 0;

	bool readable = !copy_from_kernel_nofault(&word, target, sizeof(word));
	bool written = !copy_to_kernel(target, &word, sizeof(word));

	say("%s%s", readable ? "" : "unreadable, ", written ? "written" : "fault");
}

static void do_write(const unsigned long *argument)
{
	write_to((void *)argument[0]);
}

/* Through the address of the same memory in the linear map. */
static void do_write_linear(const unsigned long *argument)
{
	struct page *page = vmalloc_to_page((void *)argument[0]);

	if (page)
		write_to(page_address(page) + offset_in_page(argument[0]));
	else
		say("no page");
}

static void do_physical(const unsigned long *argument)
{
	struct page *page = vmalloc_to_page((void *)argument[0]);

	say("0x%llx", page ? page_to_phys(page) + offset_in_page(argument[0]) : 0);
}

/* A checksum (FNV-1a) of an address and a length. */
static void do_sum(const unsigned long *argument)
{
	u64 sum = 0xcbf29ce484222325;
	unsigned long i;
	u8 byte;

	for (i = 0; i < argument[1]; i++) {
		if (copy_from_kernel_nofault(&byte, (void *)(argument[0] + i), 1)) {
			say("unreadable");
			return;
		}
		sum = (sum ^ byte) * 0x100000001b3;
	}
	say("%016llx", sum);
}

/* How many of the words in a range are not the trap. */
static void do_no_traps(const unsigned long *argument)
{
	unsigned long i, other = 0, words = argument[1] / 4;
	u32 word;

	for (i = 0; i < words; i++) {
		if (copy_from_kernel_nofault(&word, (void *)(argument[0] + i * 4), 4)) {
			say("unreadable");
			return;
		}
		other += word != AARCH64_BREAK_FAULT;
	}
	say("%lu of %lu", other, words);
}

/* --- jumping ---------------------------------------------------------------- */

static const char *const landings[] = {
	[LANDING_TRAPPED] = "trapped",
	[LANDING_RAN] = "ran",
	[LANDING_ELSEWHERE] = "ran, and trapped elsewhere",
	[LANDING_NO_TRAP] = "no trap there",
	[LANDING_UNMAPPED] = "unmapped",
};

static void do_jump(const unsigned long *argument)
{
	say("%s", landings[jump(argument[0])]);
}

/* Jumps to each chunk of a range, and to its last word. */
static void do_jumps(const unsigned long *argument)
{
	unsigned long at, tried = 0, trapped = 0;

	for (at = 0; at < argument[1]; at += CHUNK) {
		trapped += jump(argument[0] + at) == LANDING_TRAPPED;
		trapped += jump(argument[0] + at + CHUNK - 4) == LANDING_TRAPPED;
		tried += 2;
		cond_resched();
	}
	say("%lu of %lu trapped", trapped, tried);
}

static void do_fall(const unsigned long *argument)
{
	fall(argument[0]);
	say("came back");
}

/* --- calls with wrong arguments --------------------------------------------- */

static void do_alloc(const unsigned long *argument)
{
	void *image = pack_alloc(argument[0], fill_with_traps, false);

	say("0x%lx", (unsigned long)image);
}

/* Fills an image with words that differ, as its owner would. */
static void do_fill(const unsigned long *argument)
{
	u32 *words = kvmalloc(argument[1], GFP_KERNEL);
	unsigned long i;

	if (!words) {
		say("no memory");
		return;
	}
	for (i = 0; i < argument[1] / 4; i++)
		words[i] = (u32)(argument[0] + i * 4) | 1;
	say("%s", IS_ERR(text_copy((void *)argument[0], words, argument[1])) ? "error" : "filled");
	kvfree(words);
}

static void do_free(const unsigned long *argument)
{
	pack_free((void *)argument[0], argument[1]);
	say("done");
}

static void do_exported_alloc(const unsigned long *argument)
{
	typeof(bpf_pack_alloc) *function = symbol_get(bpf_pack_alloc);

	if (!function) {
		say("no such function");
		return;
	}
	say("0x%lx", (unsigned long)function(argument[0], argument[1]));
	symbol_put(bpf_pack_alloc);
}

static void do_exported_finalize(const unsigned long *argument)
{
	typeof(bpf_pack_finalize) *function = symbol_get(bpf_pack_finalize);

	if (!function) {
		say("no such function");
		return;
	}
	say("%d", function((void *)argument[0], (void *)argument[1], argument[2]));
	symbol_put(bpf_pack_finalize);
}

static void do_exported_free(const unsigned long *argument)
{
	typeof(bpf_pack_free) *function = symbol_get(bpf_pack_free);

	if (!function) {
		say("no such function");
		return;
	}
	function((void *)argument[0], argument[1]);
	say("done");
	symbol_put(bpf_pack_free);
}

/* --- requests --------------------------------------------------------------- */

static const struct {
	const char *word;
	void (*run)(const unsigned long *argument);
} requests[] = {
	{ "write", do_write },
	{ "write_linear", do_write_linear },
	{ "physical", do_physical },
	{ "sum", do_sum },
	{ "no_traps", do_no_traps },
	{ "jump", do_jump },
	{ "jumps", do_jumps },
	{ "fall", do_fall },
	{ "alloc", do_alloc },
	{ "fill", do_fill },
	{ "free", do_free },
	{ "exported_alloc", do_exported_alloc },
	{ "exported_finalize", do_exported_finalize },
	{ "exported_free", do_exported_free },
};

/* A page of the process that writes the request, with data in it. */
static unsigned long user_page(void)
{
	unsigned long page = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);

	if (IS_ERR_VALUE(page) || put_user(1UL, (unsigned long __user *)page))
		return 0;
	return page;
}

/* Reads a number, or a name of an address. */
static int parse(const char *text, unsigned long *value)
{
	if (!strcmp(text, "own_data"))
		*value = (unsigned long)own_data;
	else if (!strcmp(text, "own_function"))
		*value = (unsigned long)landing_pad;
	else if (!strcmp(text, "user_page"))
		*value = user_page();
	else
		return kstrtoul(text, 0, value);
	return *value ? 0 : -ENOMEM;
}

static int set_request(const char *text, const struct kernel_param *param)
{
	unsigned long argument[ARGUMENTS] = { };
	char *copy = kstrdup(text, GFP_KERNEL), *rest, *word, *part;
	int err = copy ? 0 : -ENOMEM;
	size_t i;

	rest = copy ? strstrip(copy) : NULL;
	word = strsep(&rest, " ");
	for (i = 0; !err && i < ARGUMENTS && (part = strsep(&rest, " ")); i++)
		err = parse(part, &argument[i]);
	for (i = 0; !err && i < ARRAY_SIZE(requests); i++) {
		if (!strcmp(word, requests[i].word)) {
			requests[i].run(argument);
			break;
		}
	}
	if (!err && i == ARRAY_SIZE(requests))
		err = -EINVAL;
	kfree(copy);
	return err;
}

static const struct kernel_param_ops request_ops = {
	.set = set_request,
};

/* There is nothing to set at insmod. */
module_param_cb(request, &request_ops, NULL, 0200);
MODULE_PARM_DESC(request, "WORD [NUMBER]...: the attack to try");

static int __init attacker_init(void)
{
	int err = find_functions();

	return err ? err : jump_begin();
}

static void __exit attacker_exit(void)
{
	jump_end();
}

module_init(attacker_init);
module_exit(attacker_exit);
MODULE_DESCRIPTION("Attacks on the memory of BPF images, for tests");
MODULE_LICENSE("GPL");
