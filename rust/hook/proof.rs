// SPDX-License-Identifier: GPL-2.0

//! Sees that the JIT comes through the hooks, before anything is served.
//!
//! A compiler may inline a function into its callers: a hook on it is then never reached, or not by
//! all. An image that was made by us and freed by the stock allocator would be a bug in the kernel's
//! eyes. So one program is made and freed first, by the stock allocator, and its image has to come
//! through the hooks of alloc, finalize and free, one after the other.

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

/// Milliseconds between two looks at whether the image was freed; a worker does that.
const PAUSE: u32 = 10;
/// How often to look: for 10 seconds and more.
const LOOKS: u32 = 1000;

/// How far the image came.
const MADE: u32 = 1;
const FINAL: u32 = 2;
const FREED: u32 = 3;

/// The task that makes the program, while it does.
static PROVER: Atomic<*mut bindings::task_struct> = Atomic::new(null_mut());
/// Where the stock allocator put the image.
static IMAGE: Atomic<usize> = Atomic::new(0);
/// How far it came; 0 before it was made.
static STAGE: Atomic<u32> = Atomic::new(0);

/// Notes that the stock allocator, reached through the hook, gave memory to the current task.
pub(super) fn allocated(image: usize) {
    let prover = PROVER.load(Relaxed);
    if !prover.is_null() && prover == Task::current_raw() && image != 0 {
        if faults::at(Point::ProofAlloc, ENXIO).is_ok() {
            IMAGE.store(image, Relaxed);
            STAGE.store(MADE, Release);
        }
    }
}

/// Notes that a foreign image is being finalized through the hook.
pub(super) fn finalizing(image: usize) {
    advance(image, MADE, FINAL, Point::ProofFinalize);
}

/// Notes that a foreign image is being freed through the hook.
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

/// Makes and frees a program, and sees whether its image comes through the hooks. May sleep.
///
/// # Errors
///
/// `EOPNOTSUPP` if the BPF JIT is off or out of memory; `ENXIO` if it did not come through one of
/// the hooks, which the log names; what `bpf_prog_create()` returns.
pub(crate) fn prove() -> Result {
    PROVER.store(Task::current_raw(), Relaxed);
    let made = make_and_free();
    PROVER.store(null_mut(), Relaxed);
    if !made.inspect_err(|error| pr_err!("cannot make a BPF program to try: {:?}\n", error))? {
        pr_err!(
            "a BPF program was not compiled: the JIT is off (net.core.bpf_jit_enable=0) \
             or its memory is used up (net.core.bpf_jit_limit)\n"
        );
        return Err(EOPNOTSUPP);
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

/// Makes the smallest classic program and frees it; tells whether it was compiled.
fn make_and_free() -> Result<bool> {
    // CAST: BPF_RET | BPF_K with 0: 6.
    let code = (bindings::BPF_RET | bindings::BPF_K) as u16;
    let mut filter = bindings::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let mut prog = null_mut();
    faults::at(Point::ProofProgram, ENOMEM)?;
    // SAFETY: One valid instruction, which is copied. The program is ours until it is destroyed.
    unsafe {
        to_result(sys::bpf_pack_helper_prog_create(&mut prog, &mut filter, 1))?;
        let jited = sys::bpf_pack_helper_prog_jited(prog);
        sys::bpf_pack_helper_prog_destroy(prog);
        Ok(jited)
    }
}
