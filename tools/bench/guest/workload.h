/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A workload that the programs of many tools see: files, a process, the network, a signal, a futex,
 * memory, a pipe. What fails ends the program.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "text_pages.h"

#define PORT 4711
#define FILE_NAME "/tmp/tools-file"
#define NEW_NAME "/tmp/tools-renamed"

/* What a round executes: it ends at once if it has no arguments. */
static char *executed;

/* execute - starts a program without input and output, which ends with this one. */
static inline pid_t execute(char **command)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) || dup2(null, 1) != 1 || dup2(null, 2) != 2)
		_exit(126);
	execv(*command, command);
	_exit(127);
}

/* must - what a system call returned, which must not be an error. */
static inline long must(long result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

static inline void use_files(void)
{
	struct stat status;
	char byte = 0;
	int fd;

	fd = must(open("/proc/self/comm", O_RDONLY | O_CLOEXEC), "open");
	must(read(fd, &byte, 1), "read");
	close(fd);
	fd = must(open(FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600), "create");
	must(write(fd, &byte, 1), "write");
	must(fsync(fd), "fsync");
	close(fd);
	must(stat(FILE_NAME, &status), "stat");
	must(rename(FILE_NAME, NEW_NAME), "rename");
	must(unlink(NEW_NAME), "unlink");
}

static inline void use_process(void)
{
	char *command[] = { executed, NULL };
	pid_t pid = execute(command);
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s failed: %d", executed, status);
}

static inline struct sockaddr_in local(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* use_tcp - a connection to a new listener, and a byte. */
static inline void use_tcp(void)
{
	int listener = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	int client = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	struct sockaddr_in address = local();
	int on = 1, server;
	char byte = 0;

	must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
	must(bind(listener, (void *)&address, sizeof(address)), "bind");
	must(listen(listener, 1), "listen");
	must(connect(client, (void *)&address, sizeof(address)), "connect");
	server = must(accept(listener, NULL, NULL), "accept");
	must(send(client, &byte, 1, 0), "send");
	must(recv(server, &byte, 1, 0), "recv");
	/* The client ends first, so that the port of the listener is free at once. */
	close(client);
	must(recv(server, &byte, 1, 0), "recv");
	close(server);
	close(listener);
}

static inline void use_udp(void)
{
	int one = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	struct sockaddr_in address = local();
	char byte = 0;

	must(bind(one, (void *)&address, sizeof(address)), "bind");
	must(sendto(one, &byte, 1, 0, (void *)&address, sizeof(address)), "sendto");
	must(recv(one, &byte, 1, 0), "recv");
	close(one);
}

static inline void ignore(int number)
{
	(void)number;
}

static inline void use_signal(void)
{
	must(kill(getpid(), SIGUSR1), "kill");
}

/* use_futex - a wait that ends at once, because the value is another, and a wake-up of nobody. */
static inline void use_futex(void)
{
	static uint32_t word;

	if (syscall(__NR_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0) != -1 || errno != EAGAIN)
		err(1, "FUTEX_WAIT");
	must(syscall(__NR_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0), "FUTEX_WAKE");
}

static inline void use_memory(void)
{
	size_t size = 16 * page_size(), i;
	volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	for (i = 0; i < size; i += page_size())
		memory[i] = 1;
	munmap((void *)memory, size);
}

static inline void use_pipe(void)
{
	char byte = 0;
	int ends[2];

	must(pipe(ends), "pipe");
	must(write(ends[1], &byte, 1), "write");
	must(read(ends[0], &byte, 1), "read");
	close(ends[0]);
	close(ends[1]);
}

/* allow_loopback - brings the loopback device up. */
static inline void allow_loopback(void)
{
	int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	must(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
	close(fd);
}

/* prepare_work - to be called before the first round; @program is what rounds execute. */
static inline void prepare_work(char *program)
{
	executed = program;
	signal(SIGUSR1, ignore);
	allow_loopback();
}

/* round_of_work - everything once; with an empty model before each step, if asked for. */
static inline void round_of_work(bool flush)
{
	static void (*const steps[])(void) = {
		use_files, use_process, use_tcp, use_udp, use_signal, use_futex, use_memory, use_pipe,
	};
	unsigned int i;

	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (flush)
			tlb_flush();
		steps[i]();
	}
}

#endif
