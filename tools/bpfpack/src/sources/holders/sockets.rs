// SPDX-License-Identifier: GPL-2.0

//! The sockets of all processes, each of which is asked for its filter. No file of the kernel tells
//! which sockets have one, and `sock_diag` does so for packet sockets only.

use super::{Holders, SocketHolder};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Looks at the sockets of the processes `pids`.
pub(super) fn find(pids: &[u32], holders: &mut Holders) {
    let mut seen = BTreeSet::new();
    let mut refused = 0_u64;
    for &pid in pids {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            refused += 1;
            continue;
        };
        let fds = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut process = None;
        for fd in fds.filter_map(|fd| fd.parse::<u32>().ok()) {
            let Some(inode) = socket_inode(pid, fd) else {
                continue;
            };
            if !seen.insert(inode) {
                continue;
            }
            if process.is_none() {
                process = open_process(pid).ok();
            }
            let asked = process
                .as_ref()
                .map(|process| duplicate(process, fd).and_then(|socket| filter(&socket)));
            match asked {
                Some(Ok(None)) => {}
                Some(Ok(Some(instructions))) => holders.sockets.push(SocketHolder {
                    pid,
                    name: String::new(),
                    fd,
                    inode,
                    instructions,
                }),
                // It may have been closed since, which is no refusal.
                Some(Err(error)) if error.raw_os_error() == Some(libc::EBADF) => {}
                Some(Err(_)) | None => refused += 1,
            }
        }
    }
    if refused > 0 {
        holders.notes.push(format!(
            "{refused} sockets or processes could not be asked for filters: that needs root with \
             CAP_SYS_PTRACE"
        ));
    }
}

/// The inode of descriptor `fd` of process `pid`, if it is a socket.
fn socket_inode(pid: u32, fd: u32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// Makes a descriptor of what a system call returned.
fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: The kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: The call takes two numbers and touches no memory of ours.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Takes a copy of descriptor `fd` of another process, which does not notice.
fn duplicate(process: &OwnedFd, fd: u32) -> io::Result<OwnedFd> {
    // SAFETY: The call takes three numbers and touches no memory of ours.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// Returns the number of instructions of the filter of `socket`, 0 if it is no classic one;
/// `None` if there is none.
fn filter(socket: &OwnedFd) -> io::Result<Option<u32>> {
    let mut count: libc::socklen_t = 0;
    // SAFETY: With room for no instruction the kernel only writes their number, to `count`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            ptr::null_mut(),
            &raw mut count,
        )
    };
    if result == 0 {
        return Ok((count > 0).then_some(count));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // The filter was attached as an eBPF program.
        Some(libc::EACCES) => Ok(Some(0)),
        // A family without this option.
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP) => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of_val;
    use std::os::unix::net::UnixDatagram;

    /// Attaches a filter of `length` instructions, each of which accepts the packet.
    fn attach(socket: &UnixDatagram, length: u16) {
        // BPF_RET | BPF_K
        let accept = libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: u32::MAX,
        };
        let mut code = vec![accept; length.into()];
        let program = libc::sock_fprog {
            len: length,
            filter: code.as_mut_ptr(),
        };
        // SAFETY: The kernel reads `program` and the instructions that it points to.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of_val(&program) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn sockets_with_filters_are_found_in_this_very_process() {
        let (with, without) = UnixDatagram::pair().expect("sockets");
        attach(&with, 3);
        let mut holders = Holders::default();
        find(&[std::process::id()], &mut holders);
        let of = |socket: &UnixDatagram| {
            let fd = socket.as_raw_fd().unsigned_abs();
            let found = holders.sockets.iter().find(|holder| holder.fd == fd);
            found.map(|holder| holder.instructions)
        };
        assert_eq!((of(&with), of(&without)), (Some(3), None));
        assert!(holders.notes.is_empty(), "{:?}", holders.notes);
        drop(with);
        let mut holders = Holders::default();
        find(&[u32::MAX], &mut holders);
        assert_eq!(holders.notes.len(), 1);
    }
}
