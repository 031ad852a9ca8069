// SPDX-License-Identifier: GPL-2.0

//! Who holds images that have no id: tasks with seccomp filters, and sockets with filters.

mod sockets;

use crate::context::Context;
use crate::output::{count, printable};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// The file of recorded sockets, below the root of a recording.
const RECORDED: &str = "/sockets.json";

/// A task that seccomp filters apply to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeccompHolder {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The systemd unit or the cgroup that it belongs to; may be empty.
    pub unit: String,
    /// How many filters apply to it: its own and inherited ones, which others hold, too.
    pub filters: u64,
    /// How many of its threads have them.
    pub threads: u64,
}

/// A socket with a classic filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketHolder {
    /// A process that has it.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The descriptor of the process.
    pub fd: u32,
    /// The number of the socket's inode.
    pub inode: u64,
    /// The instructions of the filter; 0 if it is no classic one.
    pub instructions: u32,
}

/// All that hold filters, as far as the kernel tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holders {
    /// Tasks with seccomp filters.
    pub seccomp: Vec<SeccompHolder>,
    /// Sockets with filters.
    pub sockets: Vec<SocketHolder>,
    /// What could not be found out, in sentences.
    pub notes: Vec<String>,
}

impl Holders {
    /// Who holds filters, as text for people.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "Images without an id are mostly filters of seccomp and of sockets. \
             These hold some:\n",
        );
        let mut units: BTreeMap<&str, Vec<&SeccompHolder>> = BTreeMap::new();
        for holder in &self.seccomp {
            units.entry(&holder.unit).or_default().push(holder);
        }
        for (unit, holders) in units {
            let tasks: Vec<String> = holders
                .iter()
                .map(|holder| format!("{} (pid {})", printable(&holder.name), holder.pid))
                .collect();
            let filters = holders.iter().map(|holder| holder.filters).max();
            let unit = if unit.is_empty() { "no unit" } else { unit };
            text += &format!(
                "  seccomp  {}: {}; up to {} each\n",
                printable(unit),
                some_of(&tasks),
                count(filters.unwrap_or(0), "filter")
            );
        }
        for socket in &self.sockets {
            text += &format!(
                "  socket   {} (pid {}), descriptor {}: filter of {}\n",
                printable(&socket.name),
                socket.pid,
                socket.fd,
                count(socket.instructions.into(), "instruction")
            );
        }
        if self.seccomp.is_empty() && self.sockets.is_empty() {
            text += "  nobody that can be found\n";
        }
        if self.seccomp.iter().any(|holder| holder.pid == 1) {
            text +=
                "PID 1 gives up filters that it holds for nobody with `systemctl daemon-reexec`.\n";
        }
        for note in &self.notes {
            text += &format!("Note: {note}.\n");
        }
        text + "Rules of traffic control, of iptables (xt_bpf) and of SO_REUSEPORT can hold some, too: \
                the kernel does not tell.\n"
    }
}

/// The first few of a list, and how many more there are.
fn some_of(all: &[String]) -> String {
    const SHOWN: usize = 4;
    let text = all[..all.len().min(SHOWN)].join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Finds out who holds filters.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn find(context: &Context) -> Result<Holders> {
    let mut holders = Holders::default();
    let pids = processes(context)?;
    for &pid in &pids {
        holders.seccomp.extend(seccomp(context, pid));
    }
    if context.is_live() {
        sockets::find(&pids, &mut holders);
    } else if let Some(text) = context.read_optional(RECORDED)? {
        holders.sockets = serde_json::from_str(&text)?;
    }
    for socket in &mut holders.sockets {
        if socket.name.is_empty() {
            socket.name = name(context, socket.pid);
        }
    }
    Ok(holders)
}

/// The processes, by number.
fn processes(context: &Context) -> Result<Vec<u32>> {
    let entries = fs::read_dir(context.path("/proc"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut pids: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

fn name(context: &Context, pid: u32) -> String {
    let name = context.read(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

/// Reads whether seccomp filters apply to process `pid`, in any of its threads.
fn seccomp(context: &Context, pid: u32) -> Option<SeccompHolder> {
    let tasks = fs::read_dir(context.path(format!("/proc/{pid}/task"))).ok()?;
    let tasks = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let (mut threads, mut filters) = (0, 0);
    for task in tasks {
        let status = context.read(format!("/proc/{pid}/task/{task}/status"));
        let status = status.unwrap_or_default();
        let fields: BTreeMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(":\t"))
            .collect();
        if fields.get("Seccomp") == Some(&"2") {
            threads += 1;
            let count = fields.get("Seccomp_filters");
            filters = filters.max(count.and_then(|count| count.parse().ok()).unwrap_or(1));
        }
    }
    (threads > 0).then(|| SeccompHolder {
        pid,
        name: name(context, pid),
        unit: unit(
            &context
                .read(format!("/proc/{pid}/cgroup"))
                .unwrap_or_default(),
        ),
        filters,
        threads,
    })
}

/// The unit of systemd, or the last part of the path, in the text of `/proc/PID/cgroup`.
fn unit(cgroup: &str) -> String {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"));
    let parts = path.unwrap_or_default().rsplit('/');
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let unit = parts.clone().find(is_unit).or_else(|| parts.clone().next());
    unit.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_cgroups() {
        let nested = "0::/system.slice/systemd-udevd.service/udev\n";
        assert_eq!(unit(nested), "systemd-udevd.service");
        assert_eq!(unit("0::/init.scope\n"), "init.scope");
        assert_eq!(unit("0::/kubepods/pod7\n"), "pod7");
        assert_eq!(unit("0::/\n"), "");
        assert_eq!(unit(""), "");
    }
}
