// SPDX-License-Identifier: GPL-2.0
/*
 * Attaches an empty program to the entry of each of COUNT functions of the kernel: so many
 * trampolines, as arm64 has none for several functions. Says at how many of them the patched
 * call leads to the trampoline itself, and what the program at getpid() adds to a call, while
 * all others are there. The other functions are such that nothing calls here.
 *
 * Regions are numbered from ID on, and each has one JSON line.
 */
#include "btf.h"
#include "kernel_text.h"

#define RUNS 1000
#define MAX_COUNT 2000
#define GETPID "__arm64_sys_getpid"
#define TRACEABLE "/sys/kernel/tracing/available_filter_functions"
#define NAME 128

struct attached {
	char name[NAME];
	unsigned long address;
	int link;
};

static struct attached attached[MAX_COUNT];
static unsigned long trampolines[2 * MAX_COUNT];
static unsigned int count, refused, images;
static char (*traceable)[NAME];
static unsigned int traceables;

/* is_idle - nothing calls this: the guest has no ACPI, and SELinux is off. */
static bool is_idle(const char *name)
{
	return !strncmp(name, "acpi_", 5) || !strncmp(name, "selinux_", 8);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* list_traceable - the functions that is_idle() names and that have a patch site. */
static void list_traceable(void)
{
	FILE *file = fopen(TRACEABLE, "r");
	char line[512], name[NAME];
	unsigned int room = 0;

	if (!file)
		err(1, TRACEABLE);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%127s", name) != 1 || !is_idle(name))
			continue;
		if (traceables == room) {
			room = room ? 2 * room : MAX_COUNT;
			traceable = realloc(traceable, room * NAME);
			if (!traceable)
				err(1, "memory for names");
		}
		strcpy(traceable[traceables++], name);
	}
	fclose(file);
	qsort(traceable, traceables, NAME, by_name);
}

/* is_traceable - whether one function, and only one, has this name and a patch site. */
static bool is_traceable(const char *name)
{
	char (*at)[NAME];

	at = strlen(name) < NAME ? bsearch(name, traceable, traceables, NAME, by_name) : NULL;
	return at && (at == traceable || strcmp(at[-1], name)) &&
	       (at + 1 == traceable + traceables || strcmp(at[1], name));
}

/* try_attach - attaches to a function, if the kernel allows it. */
static void try_attach(const struct function *function)
{
	int link = attach_entry(function->id);

	if (link < 0) {
		refused++;
		return;
	}
	strcpy(attached[count].name, function->name);
	attached[count++].link = link;
}

/* attach_others - attaches to functions that nothing calls, until @wanted are attached to. */
static void attach_others(unsigned int wanted)
{
	struct function function = { 0 };

	while (count < wanted) {
		if (!next_function(&function))
			errx(1, "only %u functions to attach to, %u refused", count, refused);
		if (is_idle(function.name) && is_traceable(function.name))
			try_attach(&function);
	}
}

static int by_address(const void *a, const void *b)
{
	const unsigned long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* find_symbols - the addresses of all trampolines, and of the functions they belong to. */
static void find_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[1024], name[NAME];
	unsigned long address;
	unsigned int i;

	if (!file)
		err(1, "/proc/kallsyms");
	qsort(attached, count, sizeof(*attached), by_name);
	while (fgets(line, sizeof(line), file)) {
		struct attached *found;

		if (sscanf(line, "%lx %*c %127s", &address, name) != 2)
			continue;
		if (!strncmp(name, "bpf_trampoline_", 15) && name[15] >= '0' && name[15] <= '9') {
			if (images == sizeof(trampolines) / sizeof(*trampolines))
				errx(1, "too many trampolines");
			trampolines[images++] = address;
			continue;
		}
		found = bsearch(name, attached, count, sizeof(*attached), by_name);
		if (found)
			found->address = address;
	}
	fclose(file);
	for (i = 0; i < count; i++)
		if (!attached[i].address)
			errx(1, "/proc/kallsyms: no address of %s", attached[i].name);
	qsort(trampolines, images, sizeof(*trampolines), by_address);
}

/* count_direct - at how many functions the patched call leads to a trampoline. */
static unsigned int count_direct(void)
{
	unsigned long target, other = 0;
	unsigned int direct = 0, i;

	for (i = 0; i < count; i++) {
		target = patched_call(attached[i].address);
		if (bsearch(&target, trampolines, images, sizeof(*trampolines), by_address)) {
			direct++;
			continue;
		}
		/* All others lead to the kernel's one way to what is out of reach. */
		if (other && target != other)
			errx(1, "%s: the call leads to %#lx", attached[i].name, target);
		other = target;
	}
	return direct;
}

static void measure_getpid(unsigned long id, const char *what)
{
	call_getpid(id, 1000, RUNS);
	printf("{\"line\":\"attached_call\",\"region\":%lu,\"what\":\"%s\",\"calls\":%u}\n", id,
	       what, RUNS);
}

static void show_memory(const char *command)
{
	fflush(stdout);
	if (system(command))
		errx(1, "%s failed", command);
}

int main(int argc, char **argv)
{
	struct function getpid_entry = { 0 };
	unsigned int wanted;
	unsigned long id;

	if (argc != 3)
		errx(2, "usage: attach ID COUNT");
	id = number(argv[1]);
	wanted = number(argv[2]);
	if (wanted < 2 || wanted > MAX_COUNT)
		errx(2, "2 to %u functions", MAX_COUNT);
	allow_files(MAX_COUNT + 64);
	list_traceable();
	getpid_entry = (struct function){ .id = function_id(GETPID), .name = GETPID };
	show_memory("./memory.sh before_attach");
	measure_getpid(id, "without");
	tlb_region_start(id + 1);
	attach_others(wanted - 1);
	tlb_region_stop();
	measure_getpid(id + 2, "others");
	try_attach(&getpid_entry);
	if (count != wanted)
		errx(1, "attaching to " GETPID);
	measure_getpid(id + 3, "with");
	find_symbols();
	printf("{\"line\":\"attached\",\"region\":%lu,\"functions\":%u,\"direct\":%u,"
	       "\"trampolines\":%u,\"refused\":%u}\n", id + 1, count, count_direct(), images,
	       refused);
	show_memory("./memory.sh attached");
	/* To detach takes as long as to attach: the guest does not wait for it. */
	return 0;
}
