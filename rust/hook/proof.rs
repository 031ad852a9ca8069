// SPDX-License-Identifier: GPL-2.0

//! Checks that the JIT's calls come through the hooks, before the service serves anything.
//!
//! A compiler may inline a function into some or all of its callers: their calls then miss the
//! hook. If we made an image and the stock allocator had to free it, the kernel would report a bug.
//! So `insmod` makes and frees one program in memory of the stock allocator, and checks that its
//! image comes through the hooks of alloc, finalize and free, in this order.

use crate::compat::not_supported;
use crate::faults::{
    self,
    Point, //
};
use crate::lifetime::sleep_ms;
use crate::sys;
use core::ptr::null_mut;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::task::Task;

/// The pause between two checks whether a worker has freed the image, in milliseconds.
const PAUSE: u32 = 10;
/// The number of these checks: they take at least 10 seconds.
const LOOKS: u32 = 1000;

/// The stages of the image: the last hook that it came through.
const MADE: u32 = 1;
const FINAL: u32 = 2;
const FREED: u32 = 3;

/// The task that is making the program; null if none is.
static PROVER: Atomic<*mut bindings::task_struct> = Atomic::new(null_mut());
/// The address of the image in the memory of the stock allocator.
static IMAGE: Atomic<usize> = Atomic::new(0);
/// The stage of the image; 0 before it was made.
static STAGE: Atomic<u32> = Atomic::new(0);

/// Notes that the stock allocator, called by the hook, has allocated memory for the current task.
pub(super) fn allocated(image: usize) {
    let prover = PROVER.load(Relaxed);
    if !prover.is_null() && prover == Task::current_raw() && image != 0 {
        if faults::at(Point::ProofAlloc, ENXIO).is_ok() {
            IMAGE.store(image, Relaxed);
            STAGE.store(MADE, Release);
        }
    }
}

/// Notes that a foreign image comes through the hook of finalize.
pub(super) fn finalizing(image: usize) {
    advance(image, MADE, FINAL, Point::ProofFinalize);
}

/// Notes that a foreign image comes through the hook of free.
pub(super) fn freeing(image: usize) {
    advance(image, FINAL, FREED, Point::ProofFree);
}

fn advance(image: usize, from: u32, to: u32, point: Point) {
    if STAGE.load(Acquire) == from
        && IMAGE.load(Relaxed) == image
        && faults::at(point, ENXIO).is_ok()
    {
        STAGE.store(to, Release);
    }
}

/// Makes and frees a program, and checks that its image comes through the hooks. Sleeps.
///
/// # Errors
///
/// `EOPNOTSUPP` if the BPF JIT is off or its memory is used up; `ENXIO` if the image misses a hook,
/// which the log names; those of `bpf_prog_create()`.
pub(crate) fn prove() -> Result {
    PROVER.store(Task::current_raw(), Relaxed);
    let made = make_and_free();
    PROVER.store(null_mut(), Relaxed);
    if !made.inspect_err(|error| pr_err!("cannot make a BPF program to try: {:?}\n", error))? {
        pr_err!(
            "a BPF program was not compiled: the JIT is off (net.core.bpf_jit_enable=0) \
             or its memory is used up (net.core.bpf_jit_limit)\n"
        );
        return Err(not_supported());
    }
    for _ in 0..LOOKS {
        if STAGE.load(Acquire) != FINAL {
            break;
        }
        sleep_ms(PAUSE);
    }
    let missing = match STAGE.load(Acquire) {
        FREED => return Ok(()),
        FINAL => "bpf_prog_pack_free (or no worker freed it)",
        MADE => "bpf_jit_binary_pack_finalize",
        _ => "bpf_prog_pack_alloc",
    };
    pr_err!(
        "the JIT of this kernel does not come through the hook on {}: not supported\n",
        missing
    );
    Err(ENXIO)
}

/// Makes the smallest classic program and frees it. Returns whether the JIT compiled it.
fn make_and_free() -> Result<bool> {
    // CAST: The value is 6.
    let code = (bindings::BPF_RET | bindings::BPF_K) as u16;
    let mut filter = bindings::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let mut prog = null_mut();
    faults::at(Point::ProofProgram, ENOMEM)?;
    // SAFETY: The kernel copies the one instruction, which is valid. On success `prog` is a program
    // that nobody else uses until it is destroyed here.
    unsafe {
        to_result(sys::bpf_pack_helper_prog_create(&mut prog, &mut filter, 1))?;
        let jited = sys::bpf_pack_helper_prog_jited(prog);
        sys::bpf_pack_helper_prog_destroy(prog);
        Ok(jited)
    }
}
