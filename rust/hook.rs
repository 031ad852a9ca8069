// SPDX-License-Identifier: GPL-2.0

//! Binds the entry points of the kernel's JIT to the service.
//!
//! `ftrace.rs` is the mechanism, `entry.rs` the functions that take over.

mod entry;
mod ftrace;

use crate::ksym::KernelFns;
use crate::lifetime::wait_for_tasks;
use crate::service::GATE;
use ftrace::Redirect;
use kernel::prelude::*;

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
    /// `EBUSY` if somebody else (a live patch) holds one of the functions, or if tracing is switched
    /// off (`kernel.ftrace_enabled=0`); what ftrace returns. The log names the function, and the
    /// stock functions are all in place again.
    pub(crate) fn attach(kernel: &'static KernelFns) -> Result<Self> {
        let mut hooks = Self {
            redirects: KVec::with_capacity(entry::COUNT, GFP_KERNEL)?,
        };
        for target in entry::targets(kernel) {
            let redirect = Redirect::attach(target.function, target.replacement);
            let redirect = redirect.inspect_err(|error| {
                if *error == EBUSY {
                    pr_err!(
                        "{} is held by another user of ftrace, such as a live patch, or \
                         kernel.ftrace_enabled is 0\n",
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
        // The last one first: no new images while those that deal with them are detached.
        while self.redirects.pop().is_some() {}
        // A task may have been redirected and not be counted yet.
        wait_for_tasks();
        GATE.close();
        // The last instructions of a call come after it is no longer counted.
        wait_for_tasks();
    }
}
