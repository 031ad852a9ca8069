// SPDX-License-Identifier: GPL-2.0

//! Binds the entry points of the kernel's JIT to the service.
//!
//! `ftrace.rs` is the mechanism, `entry.rs` the functions that take over.

mod entry;
mod ftrace;

use crate::ksym::KernelFns;
use crate::lifetime::wait_for_tasks;
use crate::service::{
    Service,
    GATE, //
};
use ftrace::Redirect;
use kernel::prelude::*;

pub(crate) use entry::tidy;

/// The JIT's calls lead to the service while this lives.
///
/// Dropped, it sends them back to the stock functions and waits until no task is in ours.
#[must_use = "dropping it detaches the hooks"]
pub(crate) struct Hooks {
    redirects: KVec<Pin<KBox<Redirect>>>,
}

impl Hooks {
    /// Redirects the stock entry points. May sleep; takes a while.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else (a live patch) holds one of the functions; what ftrace returns. The
    /// log names the function, and the stock functions are all in place again.
    pub(crate) fn attach(kernel: &'static KernelFns) -> Result<Self> {
        let mut hooks = Self {
            redirects: KVec::with_capacity(entry::COUNT, GFP_KERNEL)?,
        };
        for target in entry::targets(kernel) {
            let redirect = Redirect::attach(target.function, target.replacement);
            let redirect = redirect.inspect_err(|error| {
                if *error == EBUSY {
                    pr_err!(
                        "{} is held by another user of ftrace, such as a live patch\n",
                        target.name
                    );
                } else {
                    pr_err!("cannot hook {}: {:?}\n", target.name, error);
                }
            })?;
            hooks.redirects.push(redirect, GFP_KERNEL)?;
        }
        Ok(hooks)
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // First those through which new images come.
        self.redirects.clear();
        // A task may have been redirected and not be counted yet.
        wait_for_tasks();
        GATE.close();
        // The last instructions of a call come after it is no longer counted.
        wait_for_tasks();
    }
}

/// Opens [`GATE`] to `service`, until it is dropped.
#[must_use = "dropping it closes the gate"]
pub(crate) struct OpenGate(());

impl OpenGate {
    /// Lets calls through to `service`.
    ///
    /// # Safety
    ///
    /// `service` must stay valid until the returned value has been dropped.
    pub(crate) unsafe fn new(service: &Service) -> Self {
        // SAFETY: By the caller; closing happens in `drop`.
        unsafe { GATE.open(service) };
        Self(())
    }
}

impl Drop for OpenGate {
    fn drop(&mut self) {
        GATE.close();
        wait_for_tasks();
    }
}
