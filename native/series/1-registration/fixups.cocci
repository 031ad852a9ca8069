// SPDX-License-Identifier: GPL-2.0
// file: kernel/bpf/fixups.c

@ header @
@@
 #include <linux/bpf.h>
+#include <linux/bpf_prog_pack.h>

@ load @
identifier env, err;
@@
 int bpf_fixup_call_args(struct bpf_verifier_env *env)
 {
 	<...
+	struct bpf_prog_pack_load load = bpf_prog_pack_begin_load(env->subprog_cnt);
+
 	err = bpf_jit_subprogs(env);
+	bpf_prog_pack_end_load(load);
 	...>
 }
