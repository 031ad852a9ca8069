// SPDX-License-Identifier: GPL-2.0

//! Binds the entry points of the kernel's JIT to the service.
//!
//! `ftrace.rs` redirects, `entry.rs` has the functions that take over, `pass_on.rs` leads on to the
//! stock ones, `proof.rs` sees that the JIT comes through here.

mod entry;
mod ftrace;
mod pass_on;
mod proof;
mod target;

use crate::ksym::KernelFns;
use crate::lifetime::wait_for_tasks;
use crate::service::GATE;
use ftrace::Redirect;
use kernel::prelude::*;

pub(crate) use proof::prove;

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
    /// off (`kernel.ftrace_enabled=0`); `EINVAL` if ftrace does not know it; what ftrace returns. The
    /// log names the function, and the stock functions are all in place again.
    pub(crate) fn attach(kernel: &'static KernelFns) -> Result<Self> {
        let targets = entry::targets(kernel);
        pass_on::prepare(kernel, &targets)?;
        let mut hooks = Self {
            redirects: KVec::with_capacity(targets.len(), GFP_KERNEL)?,
        };
        for target in &targets {
            let redirect = Redirect::attach(target);
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
        GATE.wait_for_calls();
        // The last instructions of a call come after it is no longer counted.
        wait_for_tasks();
    }
}
