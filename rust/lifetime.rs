// SPDX-License-Identifier: GPL-2.0

//! What keeps the module in memory while somebody needs it: a reference to the module, a count of
//! calls in flight, and delayed work that can be cancelled. The kernel crate has none of them.

use crate::compat::THIS_MODULE;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::wait_for_tasks;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::types::Opaque;

mod gate;

pub(crate) use gate::Gate;
pub(crate) use gate::Opened;

/// A reference to this module. While it exists, `rmmod` says "in use".
///
/// When it is dropped, `rmmod` may begin at once; [`Gate`] makes it wait for calls in flight.
#[must_use = "the module is held only while this exists"]
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference, or returns [`None`] if the module is being removed. Any context.
    pub(crate) fn take() -> Option<Self> {
        let may = faults::at(Point::Lease, ENODEV).is_ok();
        // SAFETY: The pointer is to this module, which is loaded: its code is running.
        let taken = may && unsafe { bindings::try_module_get(THIS_MODULE) };
        // Not `then_some`: it would make a reference that was not taken, and drop it.
        taken.then(|| Self(()))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: The pointer is to this module, and `take` has taken the reference.
        unsafe { bindings::module_put(THIS_MODULE) }
    }
}

/// Sleeps for `milliseconds` or a little longer.
pub(crate) fn sleep_ms(milliseconds: c_uint) {
    // SAFETY: It needs a context that may sleep, which all callers have.
    unsafe { bindings::msleep(milliseconds) }
}

/// Work that a workqueue runs some time after it was queued, and never after this was dropped.
///
/// # Invariants
///
/// `work` is an initialised `delayed_work` whose function is the one given to [`Delayed::new`].
#[pin_data(PinnedDrop)]
pub(crate) struct Delayed {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Any task may queue and cancel work.
unsafe impl Send for Delayed {}
// SAFETY: `&Delayed` only queues work, and the workqueue code has its own locks.
unsafe impl Sync for Delayed {}

/// The function of a [`Delayed`]. It has no use for its argument.
pub(crate) type WorkFn = extern "C" fn(work: *mut bindings::work_struct);

impl Delayed {
    /// Makes work that runs `function`. It is not queued yet.
    pub(crate) fn new(function: WorkFn) -> impl PinInit<Self> {
        // INVARIANT: The work is initialised with this function.
        pin_init!(Self {
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is memory for a `delayed_work` that does not move, because it is
                // pinned. This is what INIT_DELAYED_WORK() does: the timer runs the workqueue's own
                // function and is marked irqsafe.
                unsafe {
                    bindings::init_work_with_key(
                        &raw mut (*slot).work,
                        Some(function),
                        false,
                        c"bpf_pack_tidy".as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    );
                    bindings::timer_init_key(
                        &raw mut (*slot).timer,
                        Some(bindings::delayed_work_timer_fn),
                        bindings::TIMER_IRQSAFE,
                        c"bpf_pack_tidy_timer".as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    );
                }
            }),
            _pin: PhantomPinned,
        })
    }

    /// Queues the work to run after `delay` jiffies, unless it is queued already. Any context.
    ///
    /// It does not run while the system goes to sleep.
    pub(crate) fn queue(&self, delay: usize) {
        // SAFETY: By the type invariants the work is initialised. The system's workqueues always
        // exist.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_freezable_wq,
                self.work.get(),
                delay,
            )
        };
    }

    /// Queues the work to run at once, even if it is queued for later. Any context.
    pub(crate) fn hurry(&self) {
        // SAFETY: As in `queue`.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_freezable_wq,
                self.work.get(),
                0,
            )
        };
    }
}

#[pinned_drop]
impl PinnedDrop for Delayed {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the work is initialised, and whoever drops it may sleep.
        // The work may queue itself again: cancelling waits for that, too.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
