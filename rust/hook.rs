// SPDX-License-Identifier: GPL-2.0

//! Redirects functions of the kernel's JIT to the service.
//!
//! `ftrace.rs` redirects a function; `target.rs` describes one. `entry.rs` has the replacements,
//! `pass_on.rs` calls the stock functions from there. `proof.rs` checks that the JIT's calls
//! arrive.

mod entry;
mod ftrace;
mod pass_on;
mod proof;
mod target;

use crate::faults::{
    self,
    Point, //
};
use crate::ksym::{
    wait_for_tasks,
    KernelFns, //
};
use crate::service::GATE;
use ftrace::Redirect;
use kernel::prelude::*;

pub(crate) use proof::prove;

/// Why ftrace refuses a hook with `EBUSY`.
const HELD: &str =
    "held by another user of ftrace, such as a live patch, or kernel.ftrace_enabled is 0";

/// The redirections. While this exists, the JIT's calls go to the service.
///
/// Dropping this detaches the hooks and waits until no task is in a replacement.
#[must_use = "dropping it detaches the hooks"]
pub(crate) struct Hooks {
    redirects: KVec<Pin<KBox<Redirect>>>,
}

impl Hooks {
    /// Redirects the stock functions. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another user of ftrace (a live patch) redirects one of the functions, or if
    /// ftrace is off (`kernel.ftrace_enabled=0`); `EINVAL` if ftrace does not know one of them;
    /// other errors of ftrace. The log names the function. No function is redirected then. The first
    /// two are no errors for a function that the module can do without.
    pub(crate) fn attach(kernel: &'static KernelFns) -> Result<Self> {
        let mut targets = entry::targets(kernel);
        pass_on::prepare(kernel, &mut targets)?;
        let list = faults::at(Point::HookList, ENOMEM)
            .and_then(|()| Ok(KVec::with_capacity(targets.len(), GFP_KERNEL)?));
        let mut hooks = Self {
            redirects: list.inspect_err(|error| pr_err!("cannot hook: {:?}\n", error))?,
        };
        for target in targets.iter().flatten() {
            let redirect = match Redirect::attach(target) {
                Ok(redirect) => redirect,
                Err(EBUSY) if target.can_miss(HELD) => continue,
                Err(EBUSY) => {
                    pr_err!("{} is {}\n", target.name, HELD);
                    return Err(EBUSY);
                }
                Err(error) => {
                    pr_err!("cannot hook {}: {:?}\n", target.name, error);
                    return Err(error);
                }
            };
            hooks.redirects.push(redirect, GFP_KERNEL)?;
        }
        Ok(hooks)
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // In reverse order: the hook that makes images goes first, while the others still serve
        // them.
        while self.redirects.pop().is_some() {}
        // A task may have been redirected but not counted yet.
        wait_for_tasks();
        GATE.wait_for_calls();
        // A task may still be in the last instructions of a call, which is not counted any more.
        wait_for_tasks();
    }
}
