// SPDX-License-Identifier: GPL-2.0

//! The exported functions of bpf_pack (rust/include/bpf_pack.h) and those of `helpers.c`.

use kernel::prelude::*;

extern "C" {
    fn bpf_pack_alloc(size: u32, flags: u32) -> *mut c_void;
    fn bpf_pack_finalize(rox: *mut c_void, rw: *const c_void, size: u32) -> c_int;
    fn bpf_pack_free(rox: *mut c_void, size: u32);

    /// Runs `work` with each of `count` items of `size` bytes, in a thread each, and waits for all.
    pub(crate) fn random_helper_run(
        count: u32,
        work: extern "C" fn(*mut c_void),
        items: *mut c_void,
        size: usize,
    ) -> c_int;
    fn random_helper_trap() -> u32;
    fn random_helper_resched();
}

/// Allocates an image; 0 if that was refused. Sleeps.
pub(crate) fn alloc(size: u32) -> usize {
    // SAFETY: May sleep here; any size may be asked for.
    unsafe { bpf_pack_alloc(size, 0) as usize }
}

/// Finalizes an image from `size` bytes at `source`, any address. Sleeps.
pub(crate) fn finalize(address: usize, source: usize, size: usize) -> c_int {
    // CAST: Nothing here is larger than 4 MiB.
    // SAFETY: May sleep here. The function refuses what is no image, and sources that cannot be
    // read; those that can are this module's.
    unsafe { bpf_pack_finalize(address as *mut c_void, source as *const c_void, size as u32) }
}

/// Frees an image. Sleeps.
pub(crate) fn free(address: usize) {
    // SAFETY: May sleep here. Nobody runs these images, and the function refuses what is none.
    unsafe { bpf_pack_free(address as *mut c_void, 0) }
}

/// The word at `address`, which is in a pack that has an image of this module.
pub(crate) fn read(address: usize) -> u32 {
    // SAFETY: A pack that has an image stays mapped.
    unsafe { (address as *const u32).read_volatile() }
}

/// The instruction that unused memory consists of.
pub(crate) fn trap() -> u32 {
    // SAFETY: Returns a constant.
    unsafe { random_helper_trap() }
}

/// Lets others run.
pub(crate) fn yield_cpu() {
    // SAFETY: May sleep here.
    unsafe { random_helper_resched() }
}
