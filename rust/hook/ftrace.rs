// SPDX-License-Identifier: GPL-2.0

//! Redirects one kernel function with ftrace, as live patching does.

use super::target::Target;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::wait_for_tasks;
use crate::lifetime::sleep_ms;
use crate::sys;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// The most attempts to register while somebody changes a trampoline on the same function.
const MAX_TRIES: u32 = 1000;

/// The redirection of one kernel function. It ends when this is dropped.
///
/// # Invariants
///
/// `ops` is registered for one kernel function, and its `private` field is the address of the
/// replacement, which has the same prototype.
#[pin_data(PinnedDrop)]
pub(super) struct Redirect {
    #[pin]
    ops: Opaque<bindings::ftrace_ops>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Any task may unregister an `ftrace_ops`.
unsafe impl Send for Redirect {}
// SAFETY: `&Redirect` has no methods.
unsafe impl Sync for Redirect {}

/// Registers `ops`.
///
/// While somebody changes a BPF trampoline on the same function, ftrace returns `EAGAIN` after a
/// millisecond (kernel/bpf/trampoline.c, `bpf_tramp_ftrace_ops_func()`). This then tries again.
///
/// # Errors
///
/// `EBUSY` after too many attempts; other errors of ftrace.
///
/// # Safety
///
/// That of `register_ftrace_function()`.
unsafe fn register(ops: *mut bindings::ftrace_ops) -> Result {
    faults::at(Point::HookRegister, EBUSY)?;
    for _ in 0..MAX_TRIES {
        // SAFETY: The caller keeps the contract of `register_ftrace_function()`.
        let registered = to_result(unsafe { bindings::register_ftrace_function(ops) });
        if registered != Err(EAGAIN) {
            return registered;
        }
    }
    Err(EBUSY)
}

/// Waits until no CPU is in an ftrace callback that it entered before this was called. Sleeps.
///
/// This includes idle tasks, for which RCU tasks does not wait (kernel/trace/ftrace.c,
/// `ftrace_shutdown()`).
fn wait_for_callbacks() {
    // SAFETY: It needs a context that may sleep: the callers set the module up.
    unsafe { bindings::synchronize_rcu_tasks_rude() }
    wait_for_tasks();
}

/// Never returns, because a kernel function may still be redirected to this module.
///
/// That happens only after ftrace has found a bug in itself and has stopped for good. It is better
/// that `insmod` or `rmmod` hangs than that the kernel runs freed code.
fn stay_for_ever(why: &str) -> ! {
    pr_crit!("ftrace {why}: reboot this machine\n");
    loop {
        sleep_ms(c_uint::MAX);
    }
}

impl Redirect {
    /// Redirects calls of a kernel function to its replacement. Sleeps.
    ///
    /// The flag IPMODIFY keeps other users from redirecting the same function. PERMANENT makes
    /// `sysctl kernel.ftrace_enabled=0` fail; otherwise it would end the redirection. The filter is
    /// an address, because ftrace walks over all symbols to find a name.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another user redirects the same function; other errors of ftrace.
    pub(super) fn attach(target: &Target) -> Result<Pin<KBox<Self>>> {
        let flags = bindings::FTRACE_OPS_FL_IPMODIFY | bindings::FTRACE_OPS_FL_PERMANENT;
        // INVARIANT: The closure sets `private` to the replacement and registers `ops` for the function
        // that it replaces, or fails.
        let init = try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(|slot: *mut bindings::ftrace_ops| {
                // SAFETY: `slot` is memory for an `ftrace_ops` that does not move, because it is
                // pinned. If registering fails half-way, other CPUs may still use it. So this waits
                // for them before the memory is freed, as unregistering does.
                unsafe {
                    slot.write(bindings::ftrace_ops::default());
                    // It redirects every call: calls that we pass on enter the stock function after
                    // the patch site (`pass_on.rs`).
                    (*slot).func = Some(sys::bpf_pack_helper_redirect);
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
        faults::at(Point::HookMemory, ENOMEM)?;
        KBox::pin_init(init, GFP_KERNEL)
    }
}

#[pinned_drop]
impl PinnedDrop for Redirect {
    /// Ends the redirection and waits until no task is in the callback: unregistering waits for a
    /// grace period of RCU tasks. Sleeps.
    fn drop(self: Pin<&mut Self>) {
        let ops = self.ops.get();
        // SAFETY: By the type invariants it is registered.
        let error = unsafe { bindings::unregister_ftrace_function(ops) };
        if error != 0 {
            stay_for_ever("cannot unhook a function");
        }
        // SAFETY: It was unregistered above, so that nobody uses its filter.
        unsafe { bindings::ftrace_free_filter(ops) };
    }
}
