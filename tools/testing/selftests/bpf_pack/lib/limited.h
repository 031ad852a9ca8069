/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process that may load programs and to which net.core.bpf_jit_limit applies. Root is
 * exempt from the limit, and nobody else may load: the process is in a user namespace
 * and has a BPF token. The machine's own rules on unprivileged BPF stay as they are.
 */
#ifndef BPF_PACK_LIMITED_H
#define BPF_PACK_LIMITED_H

/* Starts the process; 0 or a negative errno. */
int limited_start(void);

/* Ends it. */
void limited_stop(void);

/*
 * Makes it load a socket filter that returns @value; the file descriptor of that
 * program, or a negative errno.
 */
int limited_load(int value);

#endif /* BPF_PACK_LIMITED_H */
