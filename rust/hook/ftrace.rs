// SPDX-License-Identifier: GPL-2.0

//! Redirects one kernel function with ftrace, in the way of live patching.

use super::target::Target;
use crate::faults::{
    self,
    Point, //
};
use crate::lifetime::{
    sleep_ms,
    wait_for_callbacks, //
};
use crate::sys;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// How often to try while somebody changes a trampoline on the same function.
const MAX_TRIES: u32 = 1000;

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
/// Every call is redirected: what goes on to the stock function enters it behind this
/// (`pass_on.rs`). Rust functions are not traced, nor is the helper.
///
/// # Safety
///
/// Only ftrace may call this, for an `ops` that belongs to a [`Redirect`].
unsafe extern "C" fn redirect(
    _ip: usize,
    _parent_ip: usize,
    ops: *mut bindings::ftrace_ops,
    fregs: *mut bindings::ftrace_regs,
) {
    // SAFETY: ftrace passes the registered `ops`, whose `private` is ours by the invariants of
    // `Redirect`, and the registers of the call.
    unsafe { sys::bpf_pack_helper_set_ip(fregs, (*ops).private as usize) };
}

/// Registers `ops`, and again while a BPF trampoline on the same function is being changed: then
/// ftrace says `EAGAIN`, after a millisecond (kernel/bpf/trampoline.c, `bpf_tramp_ftrace_ops_func()`).
///
/// # Safety
///
/// As for `register_ftrace_function()`.
unsafe fn register(ops: *mut bindings::ftrace_ops) -> Result {
    faults::at(Point::HookRegister, EBUSY)?;
    for _ in 0..MAX_TRIES {
        // SAFETY: By the caller's promise.
        let registered = to_result(unsafe { bindings::register_ftrace_function(ops) });
        if registered != Err(EAGAIN) {
            return registered;
        }
    }
    Err(EBUSY)
}

/// Never returns, because a function of the kernel may still lead here.
///
/// That happens only after ftrace has found a bug in itself and has stopped for good. An insmod or
/// rmmod that hangs is better than a kernel that runs freed memory.
fn stay_for_ever(why: &str) -> ! {
    pr_crit!("ftrace {why}: reboot this machine\n");
    loop {
        sleep_ms(c_uint::MAX);
    }
}

impl Redirect {
    /// Makes calls of a kernel function go to its replacement. Sleeps.
    ///
    /// IPMODIFY keeps a second such user away, and PERMANENT makes
    /// `sysctl kernel.ftrace_enabled=0` fail instead of dropping the redirection. By address: each
    /// name would cost ftrace a walk over all symbols.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another user modifies the same function; what ftrace returns.
    pub(super) fn attach(target: &Target) -> Result<Pin<KBox<Self>>> {
        let flags = bindings::FTRACE_OPS_FL_IPMODIFY | bindings::FTRACE_OPS_FL_PERMANENT;
        let init = try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(|slot: *mut bindings::ftrace_ops| {
                // SAFETY: `slot` is memory for an `ftrace_ops` that stays where it is. Where
                // registering fails half-way, other CPUs may still be walking over it: as
                // unregistering does, this waits for them before anything is freed.
                unsafe {
                    slot.write(bindings::ftrace_ops::default());
                    (*slot).func = Some(redirect);
                    (*slot).flags = flags as usize;
                    (*slot).private = target.replacement as *mut c_void;
                    faults::at(Point::HookFilter, ENOMEM)?;
                    to_result(bindings::ftrace_set_filter_ip(slot, target.function, 0, 0))?;
                    register(slot).inspect_err(|_| {
                        if (*slot).flags & bindings::FTRACE_OPS_FL_ENABLED as usize != 0 {
                            stay_for_ever("cannot be sure that it did not hook a function");
                        }
                        wait_for_callbacks();
                        bindings::ftrace_free_filter(slot);
                    })
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
    /// It can only fail after ftrace has stopped for good.
    fn drop(self: Pin<&mut Self>) {
        let ops = self.ops.get();
        // SAFETY: By the type invariants it is registered.
        let error = unsafe { bindings::unregister_ftrace_function(ops) };
        if error != 0 {
            stay_for_ever("cannot unhook a function");
        }
        // SAFETY: It is no longer registered.
        unsafe { bindings::ftrace_free_filter(ops) };
    }
}
