// SPDX-License-Identifier: GPL-2.0

//! Redirects one kernel function with ftrace, in the way of live patching.

use crate::sys;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A function of the kernel that leads to a replacement while this lives.
///
/// # Invariants
///
/// `ops` is registered, and its `private` field is the address of a function that takes over the
/// prototype of the one it stands on.
#[pin_data(PinnedDrop)]
pub(super) struct Redirect {
    #[pin]
    ops: Opaque<bindings::ftrace_ops>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: An `ftrace_ops` may be unregistered from any task.
unsafe impl Send for Redirect {}
// SAFETY: `&Redirect` gives access to nothing.
unsafe impl Sync for Redirect {}

/// What ftrace calls on entry to a redirected function, in the caller's context.
///
/// A call from this module goes on to the stock function: that is how falling back works. Rust
/// functions are not traced, nor are the two helpers: this cannot recurse.
///
/// # Safety
///
/// Only ftrace may call this, for an `ops` that belongs to a [`Redirect`].
unsafe extern "C" fn redirect(
    _ip: usize,
    parent_ip: usize,
    ops: *mut bindings::ftrace_ops,
    fregs: *mut bindings::ftrace_regs,
) {
    // SAFETY: ftrace passes the registered `ops`, whose `private` is ours by the invariants of
    // `Redirect`, and the registers of the call.
    unsafe {
        if !sys::bpf_pack_helper_within_module(parent_ip) {
            sys::bpf_pack_helper_set_ip(fregs, (*ops).private as usize);
        }
    }
}

impl Redirect {
    /// Makes calls of the kernel function at `function` go to `replacement`. Sleeps.
    ///
    /// IPMODIFY keeps a second such user away, and PERMANENT makes
    /// `sysctl kernel.ftrace_enabled=0` fail instead of dropping the redirection. By address: each
    /// name would cost ftrace a walk over all symbols.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another user modifies the same function; what ftrace returns.
    pub(super) fn attach(function: usize, replacement: usize) -> Result<Pin<KBox<Self>>> {
        let flags = bindings::FTRACE_OPS_FL_IPMODIFY | bindings::FTRACE_OPS_FL_PERMANENT;
        let init = try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(|slot: *mut bindings::ftrace_ops| {
                // SAFETY: `slot` is memory for an `ftrace_ops` that stays where it is. On failure
                // the filter is freed and nothing refers to it.
                unsafe {
                    slot.write(bindings::ftrace_ops::default());
                    (*slot).func = Some(redirect);
                    (*slot).flags = flags as usize;
                    (*slot).private = replacement as *mut c_void;
                    to_result(bindings::ftrace_set_filter_ip(slot, function, 0, 0))?;
                    to_result(bindings::register_ftrace_function(slot))
                        .inspect_err(|_| bindings::ftrace_free_filter(slot))
                }
            }),
            _pin: PhantomPinned,
        });
        KBox::pin_init(init, GFP_KERNEL)
    }
}

#[pinned_drop]
impl PinnedDrop for Redirect {
    /// Sleeps until no task is in the callback: unregistering waits for a grace period of RCU tasks.
    ///
    /// It can only fail after ftrace has found a bug in itself and has stopped for good. The
    /// function then still leads here, so that this must not end: a `rmmod` that hangs is better
    /// than a kernel that runs freed memory.
    fn drop(self: Pin<&mut Self>) {
        let ops = self.ops.get();
        // SAFETY: By the type invariants it is registered.
        let error = unsafe { bindings::unregister_ftrace_function(ops) };
        if error != 0 {
            pr_crit!("ftrace cannot unhook a function ({error}): reboot this machine\n");
            loop {
                // SAFETY: May sleep here.
                unsafe { bindings::msleep(c_uint::MAX) };
            }
        }
        // SAFETY: It is no longer registered.
        unsafe { bindings::ftrace_free_filter(ops) };
    }
}
