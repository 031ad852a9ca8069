// SPDX-License-Identifier: GPL-2.0

//! The names of program types.

/// The types of `enum bpf_prog_type` (include/uapi/linux/bpf.h), by number, in lower case. The
/// numbers never change.
const NAMES: [&str; 33] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];

/// Returns the name of type number `kind`, or `type NUMBER` of one that is newer than this table.
pub fn kind_name(kind: u32) -> String {
    let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    name.map_or_else(|| format!("type {kind}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya_obj::generated::bpf_prog_type;

    #[test]
    fn the_names_are_those_of_the_header() {
        let known = [
            bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER,
            bpf_prog_type::BPF_PROG_TYPE_XDP,
            bpf_prog_type::BPF_PROG_TYPE_LIRC_MODE2,
            bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
            bpf_prog_type::BPF_PROG_TYPE_NETFILTER,
        ];
        for kind in known {
            let name = format!("{kind:?}");
            let name = name.trim_start_matches("BPF_PROG_TYPE_").to_lowercase();
            assert_eq!(kind_name(kind as u32), name);
        }
        assert_eq!(kind_name(4711), "type 4711");
    }
}
