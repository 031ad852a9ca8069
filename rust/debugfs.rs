// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/bpf_pack/`: `status` and `images` to read, `control` to read and write.
//!
//! This does not use `kernel::debugfs`: its file operations have no owner. An open file would not
//! hold the module, and closing the file after `rmmod` would run freed code.

use crate::report;
use crate::service::{
    Cursor,
    Service,
    GATE, //
};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use kernel::bindings;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::uaccess::{
    UserPtr,
    UserSlice, //
};

/// The directory with its files. Dropping this removes them.
///
/// # Invariants
///
/// `dir` is the return value of `debugfs_create_dir()`, which may be an error pointer.
pub(crate) struct DebugFs {
    dir: *mut bindings::dentry,
}

// SAFETY: Any task may remove the directory.
unsafe impl Send for DebugFs {}
// SAFETY: `&DebugFs` has no methods.
unsafe impl Sync for DebugFs {}

/// The function that makes the text of a file, each time that the file is read.
type Show = unsafe extern "C" fn(*mut bindings::seq_file, *mut c_void) -> c_int;

/// File operations in a static.
#[repr(transparent)]
struct Operations(bindings::file_operations);

// SAFETY: Nobody writes to them.
unsafe impl Sync for Operations {}

/// The operations of a file that shows a text and is opened by `open`, with `single_open()`.
const fn operations(
    open: unsafe extern "C" fn(*mut bindings::inode, *mut bindings::file) -> c_int,
) -> bindings::file_operations {
    // SAFETY: A `file_operations` of zeroes is valid: it has no operation.
    let mut ops: bindings::file_operations = unsafe { MaybeUninit::zeroed().assume_init() };
    ops.owner = crate::compat::THIS_MODULE;
    ops.open = Some(open);
    ops.read = Some(bindings::seq_read);
    ops.llseek = Some(bindings::seq_lseek);
    ops.release = Some(bindings::single_release);
    ops
}

/// The operations of the file `images`. Its text is made in parts, as it is read.
static IMAGES: Operations = {
    let mut ops = operations(open_images);
    ops.release = Some(bindings::seq_release);
    Operations(ops)
};

/// The parts of `images`.
struct Parts(bindings::seq_operations);

// SAFETY: Nobody writes to them.
unsafe impl Sync for Parts {}

static PARTS_OF_IMAGES: Parts = Parts(bindings::seq_operations {
    start: Some(start_images),
    stop: Some(stop_images),
    next: Some(next_images),
    show: Some(show_images),
});

static STATUS: Operations = Operations(operations(open_status));
/// The file of the test build that lists the points at which something can be made to fail.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
static FAULTS: Operations = Operations(operations(open_faults));
static CONTROL: Operations = {
    let mut ops = operations(open_control);
    ops.write = Some(write_control);
    Operations(ops)
};

impl DebugFs {
    /// Makes the directory and its files. Does nothing if the kernel has no debugfs.
    pub(crate) fn new() -> Self {
        // SAFETY: The names are C strings. `dir` comes from debugfs, whose functions accept each
        // other's error pointers. The operations are statics that name this module as their owner,
        // so that an open file holds it.
        unsafe {
            let dir = bindings::debugfs_create_dir(c"bpf_pack".as_char_ptr(), null_mut());
            let files = [
                (c"status", 0o400, &STATUS),
                (c"images", 0o400, &IMAGES),
                (c"control", 0o600, &CONTROL),
                #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
                (c"faults", 0o400, &FAULTS),
            ];
            for (name, mode, ops) in files {
                bindings::debugfs_create_file_full(
                    name.as_char_ptr(),
                    mode,
                    dir,
                    null_mut(),
                    core::ptr::null(),
                    &ops.0,
                );
            }
            // INVARIANT: `debugfs_create_dir()` returned it.
            Self { dir }
        }
    }
}

impl Drop for DebugFs {
    /// Removes the files and waits until nobody reads or writes them. Sleeps.
    fn drop(&mut self) {
        // SAFETY: By the type invariants it comes from `debugfs_create_dir()`, and only this
        // removes it.
        unsafe { bindings::debugfs_remove(self.dir) };
    }
}

/// # Safety
///
/// Only the VFS may call this.
unsafe extern "C" fn open_status(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The VFS is opening this file, and `release` is `single_release()`.
    unsafe { bindings::single_open(file, Some(show_status as Show), null_mut()) }
}

/// # Safety
///
/// Only the VFS may call this.
unsafe extern "C" fn open_control(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The VFS is opening this file, and `release` is `single_release()`.
    unsafe { bindings::single_open(file, Some(show_control as Show), null_mut()) }
}

/// # Safety
///
/// Only the seq_file code may call this.
unsafe extern "C" fn show_status(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: The seq_file code passes a live `seq_file` that only this task uses during the call.
    let m = unsafe { SeqFile::from_raw(m) };
    if let Some(service) = GATE.enter().target() {
        seq_print!(m, "{}", report::Status(service));
    }
    0
}

/// # Safety
///
/// Only the seq_file code may call this.
unsafe extern "C" fn show_control(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: The seq_file code passes a live `seq_file` that only this task uses during the call.
    let m = unsafe { SeqFile::from_raw(m) };
    if let Some(service) = GATE.enter().target() {
        seq_print!(m, "{}\n", report::mode(service));
    }
    0
}

/// # Safety
///
/// Only the VFS may call this.
unsafe extern "C" fn open_images(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The VFS is opening this file, and `release` is `seq_release()`.
    unsafe { bindings::seq_open(file, &PARTS_OF_IMAGES.0) }
}

/// Goes to the part with the number `*pos`, the number of a [`Cursor`]. Returns null behind the last
/// one.
///
/// `private` has the number of the part that is shown next: so reading needs no memory of its own.
///
/// # Safety
///
/// Only the seq_file code may call this.
unsafe extern "C" fn start_images(
    m: *mut bindings::seq_file,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: The seq_file code passes a live `seq_file` that only this task uses during the call,
    // and the number of a part.
    let number = unsafe {
        (*m).private = *pos as *mut c_void;
        *pos
    };
    // CAST: A negative number becomes one that is behind the end.
    match Cursor::from_number(number as u64) {
        Some(_) => m.cast(),
        None => null_mut(),
    }
}

/// Goes to the part after that which was shown last.
///
/// # Safety
///
/// Only the seq_file code may call this, after [`show_images`].
unsafe extern "C" fn next_images(
    m: *mut bindings::seq_file,
    _: *mut c_void,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: As for `start_images()`, which takes what this passes on.
    unsafe {
        *pos = (*m).private as bindings::loff_t;
        start_images(m, pos)
    }
}

/// # Safety
///
/// Only the seq_file code may call this.
unsafe extern "C" fn stop_images(_: *mut bindings::seq_file, _: *mut c_void) {}

/// Shows a part, and notes the number of the next.
///
/// # Safety
///
/// Only the seq_file code may call this, after [`start_images`] or [`next_images`].
unsafe extern "C" fn show_images(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: The seq_file code passes a live `seq_file` that only this task uses during the call.
    let number = unsafe { (*m).private } as u64;
    let entered = GATE.enter();
    let group = Cursor::from_number(number)
        .zip(entered.target())
        .map(|(at, service)| service.list(at));
    // If the module is being removed, the text ends.
    let next = group
        .as_ref()
        .map_or(i64::MAX as u64, |group| group.next.number());
    // SAFETY: As above.
    let text = unsafe {
        (*m).private = next as *mut c_void;
        SeqFile::from_raw(m)
    };
    if let Some(group) = &group {
        seq_print!(text, "{}", report::Images(group));
    }
    0
}

/// Opens `faults`.
///
/// # Safety
///
/// Only the VFS may call this.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
unsafe extern "C" fn open_faults(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file is being opened.
    unsafe { bindings::single_open(file, Some(show_faults as Show), null_mut()) }
}

/// Shows `faults`: a line `NUMBER NAME` for each point, and last `armed: NUMBER, failed: COUNT`.
///
/// # Safety
///
/// Only the seq_file code may call this.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
unsafe extern "C" fn show_faults(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: The seq_file code passes its own, for this thread.
    let m = unsafe { SeqFile::from_raw(m) };
    for (number, name) in (1..).zip(crate::faults::NAMES) {
        seq_print!(m, "{} {}\n", number, name);
    }
    let (armed, failed) = crate::faults::armed();
    seq_print!(m, "armed: {}, failed: {}\n", armed, failed);
    0
}

/// Obeys the word that is written to `control`.
///
/// # Safety
///
/// Only the VFS may call this.
unsafe extern "C" fn write_control(
    _: *mut bindings::file,
    text: *const c_char,
    len: usize,
    _: *mut bindings::loff_t,
) -> isize {
    match take_word(UserPtr::from_ptr(text.cast_mut().cast()), len) {
        // CAST: The length is at most 16.
        Ok(()) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// Obeys a text that only the test build knows: `fault NUMBER [SKIP]` or `unit`.
///
/// # Errors
///
/// `EINVAL` for another text; `EIO` if a unit test fails.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
fn obey_in_tests(service: &Service, text: &[u8]) -> Result {
    match text.strip_prefix(b"fault ") {
        Some(fault) => crate::faults::arm_as_told(fault),
        None if text == b"unit" => crate::unit::run_all(service.kernel()),
        None => Err(EINVAL),
    }
}

/// A shipped module knows no more.
///
/// # Errors
///
/// `EINVAL`.
#[cfg(not(CONFIG_ARM64_BPF_PACK_TEST))]
fn obey_in_tests(_service: &Service, _text: &[u8]) -> Result {
    Err(EINVAL)
}

/// Reads a text from user space and obeys it: `drain`, `serve`, `wait` or `check`.
fn take_word(text: UserPtr, len: usize) -> Result {
    let mut buffer = [0u8; 16];
    let word = buffer.get_mut(..len).ok_or(EINVAL)?;
    UserSlice::new(text, len).reader().read_slice(word)?;
    let entered = GATE.enter();
    let service = entered.target().ok_or(ENODEV)?;
    match word.trim_ascii() {
        b"drain" => service.set_draining(true),
        b"serve" => service.set_draining(false),
        b"wait" => service.wait_until_unused()?,
        b"check" => service.check()?,
        word => return obey_in_tests(service, word),
    }
    Ok(())
}
