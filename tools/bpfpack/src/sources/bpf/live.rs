// SPDX-License-Identifier: GPL-2.0

//! The programs of the running kernel. `aya` goes through their ids; it does not tell the addresses
//! of images, so they are asked for here.

use super::{kind_name, Bpf, Function, Program};
use anyhow::{anyhow, Context as _, Result};
use aya::programs::loaded_programs;
use aya_obj::generated::{bpf_attr, bpf_btf_info, bpf_cmd, bpf_prog_info};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_long};
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Reads all programs of the running kernel.
///
/// # Errors
///
/// If the kernel refuses the first of them.
pub fn read() -> Result<Bpf> {
    let mut programs = Vec::new();
    let mut refused = None;
    for info in loaded_programs() {
        match info.and_then(|info| info.fd()) {
            // A program may go away between two calls.
            Ok(fd) => programs.extend(describe(fd.as_fd().as_raw_fd()).ok()),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if programs.is_empty() => Err(anyhow!(error)).context(
            "the kernel does not list its BPF programs: that needs CAP_SYS_ADMIN (try sudo)",
        ),
        _ => Ok(Bpf {
            programs,
            btf_objects: btf_objects(),
        }),
    }
}

/// Calls bpf(2).
fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<c_long> {
    // SAFETY: `attributes` is a whole `bpf_attr`, and the pointers in it, which the callers here
    // set, are to buffers of the lengths that they state and that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as c_long,
            &raw mut *attributes,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// A structure of the kernel that is plain numbers.
///
/// # Safety
///
/// Any bytes must be a valid value of the type.
unsafe trait Plain: Sized {
    fn zeroes() -> Self {
        // SAFETY: Any bytes are a valid value.
        unsafe { zeroed() }
    }
}

// SAFETY: A union of plain numbers.
unsafe impl Plain for bpf_attr {}
// SAFETY: A structure of plain numbers.
unsafe impl Plain for bpf_prog_info {}
// SAFETY: A structure of plain numbers.
unsafe impl Plain for bpf_btf_info {}

/// Asks for the information on the object `fd`. The pointers in `info` must be null, or to buffers
/// of the lengths that it states.
fn object_info<T: Plain>(fd: RawFd, info: &mut T) -> io::Result<()> {
    let mut attributes = bpf_attr::zeroes();
    attributes.info.bpf_fd = fd.unsigned_abs();
    attributes.info.info_len = size_of_val(info) as u32;
    attributes.info.info = &raw mut *info as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes).map(|_| ())
}

/// Describes the program `fd`.
fn describe(fd: RawFd) -> io::Result<Program> {
    let mut first = bpf_prog_info::zeroes();
    object_info(fd, &mut first)?;
    let wanted = first.nr_jited_ksyms.min(first.nr_jited_func_lens);
    let mut addresses = vec![0_u64; wanted as usize];
    let mut lengths = vec![0_u32; wanted as usize];
    let mut info = bpf_prog_info::zeroes();
    info.nr_jited_ksyms = wanted;
    info.nr_jited_func_lens = wanted;
    info.jited_ksyms = addresses.as_mut_ptr() as u64;
    info.jited_func_lens = lengths.as_mut_ptr() as u64;
    object_info(fd, &mut info)?;
    let functions = addresses.iter().zip(&lengths);
    Ok(Program {
        id: info.id,
        kind: kind_name(info.type_),
        name: text(&info.name),
        tag: format!("{:016x}", u64::from_be_bytes(info.tag)),
        loaded_ns: info.load_time,
        uid: info.created_by_uid,
        run_count: info.run_cnt,
        run_time_ns: info.run_time_ns,
        jited_bytes: info.jited_prog_len,
        // The kernel leaves zeroes where it hides addresses.
        functions: functions
            .filter(|(address, _)| **address != 0)
            .map(|(&address, &bytes)| Function { address, bytes })
            .collect(),
    })
}

/// The text in a field of the kernel, up to its first zero.
fn text(field: &[c_char]) -> String {
    let bytes = field.iter().map(|&byte| byte as u8);
    let bytes: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The names of the kernel's own type information by its id; empty if it does not tell.
fn btf_objects() -> BTreeMap<u32, String> {
    let mut objects = BTreeMap::new();
    let mut id = 0;
    loop {
        let mut attributes = bpf_attr::zeroes();
        attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        if bpf(bpf_cmd::BPF_BTF_GET_NEXT_ID, &mut attributes).is_err() {
            return objects;
        }
        // SAFETY: The kernel has written the field, and any bytes are a number.
        id = unsafe { attributes.__bindgen_anon_6.next_id };
        if let Ok(Some(name)) = btf_name(id) {
            objects.insert(id, name);
        }
    }
}

/// The name of type information, if it is of the kernel or a module and not of a program.
fn btf_name(id: u32) -> io::Result<Option<String>> {
    let mut attributes = bpf_attr::zeroes();
    attributes.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    let fd = bpf(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attributes)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: The kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut name = [0_u8; 64];
    let mut info = bpf_btf_info::zeroes();
    info.name = name.as_mut_ptr() as u64;
    info.name_len = name.len() as u32;
    object_info(fd.as_raw_fd(), &mut info)?;
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    Ok((info.kernel_btf != 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned()))
}
