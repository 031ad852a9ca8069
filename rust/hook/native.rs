// SPDX-License-Identifier: GPL-2.0

//! Registers the service with a kernel that lets its JIT have a pack allocator
//! (CONFIG_BPF_PROG_PACK_OPS; native/ in the project's repository). It replaces the redirections of
//! `hook.rs`.
//!
//! The address decides who owns an image: the kernel goes on by itself with one that is in none of
//! our packs, and with requests that the service refuses.

use crate::a64::used_bytes;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::poke::Source;
use crate::service::{
    Customer,
    Outcome,
    GATE, //
};
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::prog_pack::{
    ProgPack,
    Registration, //
};

/// The registration. While this exists, the JIT's calls go to the service.
///
/// Dropping this waits until no call is in flight.
#[must_use = "dropping it ends the registration"]
pub(crate) struct Hooks {
    _registration: Registration<Packs>,
}

impl Hooks {
    /// Registers the service. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the JIT has another allocator; the log says so.
    pub(crate) fn attach(_kernel: &'static KernelFns) -> Result<Self> {
        let registered = faults::at(Point::HookRegister, EBUSY).and_then(|()| {
            // SAFETY: The module keeps the hooks in its only value, which the kernel drops before
            // it unloads the module, or drops them when it cannot be made. While the service has an
            // image, it holds a reference to the module.
            unsafe { Registration::new() }
        });
        let _registration = registered.inspect_err(|error| {
            pr_err!("cannot register with the JIT, which has another allocator: {error:?}\n");
        })?;
        Ok(Self { _registration })
    }
}

/// Does nothing: the kernel itself makes the calls.
///
/// # Errors
///
/// None here.
pub(crate) fn prove() -> Result {
    Ok(())
}

/// The service, as the JIT calls it.
struct Packs;

/// What the kernel wants to know: [`None`] if it is to go on by itself.
fn done(outcome: Outcome) -> Option<Result> {
    match outcome {
        Outcome::Foreign => None,
        Outcome::Done => Some(Ok(())),
        Outcome::Failed(error) => Some(Err(error)),
    }
}

// SAFETY: The service gives each image memory of its own, in chunks of 64 bytes of a sealed region
// within the module space or the vmalloc space, as the kernel's allocator does. Its books say whose
// an address is, `Writable` copies all bytes or fails, and an image is live only after all CPUs were
// synchronised.
unsafe impl ProgPack for Packs {
    fn alloc(size: u32, was_classic: bool) -> Option<NonNull<u8>> {
        let entered = GATE.enter();
        let customer = if was_classic {
            Customer::Classic
        } else {
            Customer::Any
        };
        entered.target()?.alloc(size as usize, customer).ok()
    }

    fn finalize(image: *mut u8, words: &[u32]) -> Option<Result> {
        let entered = GATE.enter();
        let service = entered.target()?;
        let used = used_bytes(words);
        done(service.finalize(image as usize, Source::from(words), used))
    }

    unsafe fn free(image: *mut u8) -> bool {
        let entered = GATE.enter();
        entered
            .target()
            .is_some_and(|service| service.free(image as usize) != Outcome::Foreign)
    }

    unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) -> Option<Result> {
        let entered = GATE.enter();
        // SAFETY: The caller passes these bytes to a function that copies them to a program.
        let source = unsafe { Source::new(src, len) };
        done(entered.target()?.write(dst as usize, source))
    }

    fn begin_load(images: u32) -> bool {
        let entered = GATE.enter();
        let load = entered
            .target()
            .and_then(|service| service.begin_load(images as usize));
        // `end_load` ends it, in this same task. The kernel counts the load as a call in flight, so
        // that the service stays until then.
        load.map(core::mem::forget).is_some()
    }

    fn end_load() {
        if let Some(service) = GATE.enter().target() {
            service.end_load();
        }
    }
}
