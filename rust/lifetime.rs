// SPDX-License-Identifier: GPL-2.0

//! What keeps the module in memory, and what lets it go: a reference per live image, a count of
//! calls in flight, and delayed work that can be cancelled. The kernel crate has none of them.

use crate::sys;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};
use kernel::types::Opaque;

/// This module, for the reference count.
pub(crate) const THIS_MODULE: *mut bindings::module = &raw mut sys::__this_module;

/// A reference to this module; while it lives `rmmod` says "in use".
///
/// Given back, the module may be removed at once, but not before the calls in flight have ended: see
/// [`Gate`].
#[must_use = "the module is held only while this lives"]
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference, or nothing if the module is being removed. Any context.
    pub(crate) fn take() -> Option<Self> {
        // SAFETY: A pointer to this very module.
        unsafe { bindings::try_module_get(THIS_MODULE) }.then_some(Self(()))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: A pointer to this very module; the reference was taken with this value.
        unsafe { bindings::module_put(THIS_MODULE) }
    }
}

/// Waits until no task is between two voluntary context switches in code that it entered before.
///
/// That covers the few instructions of ours before a call is counted and after it is not any more.
pub(crate) fn wait_for_tasks() {
    // SAFETY: May sleep here: only called while the module is being set up or removed.
    unsafe { bindings::synchronize_rcu_tasks() }
}

/// Waits until no CPU is in ftrace code that it entered before, wherever it was: in idle, too, which
/// RCU tasks leaves out (kernel/trace/ftrace.c, `ftrace_shutdown()`). Sleeps.
pub(crate) fn wait_for_callbacks() {
    // SAFETY: May sleep here, as above.
    unsafe { bindings::synchronize_rcu_tasks_rude() }
    wait_for_tasks();
}

/// Sleeps for about `milliseconds`.
pub(crate) fn sleep_ms(milliseconds: c_uint) {
    // SAFETY: All of this module's callers may sleep.
    unsafe { bindings::msleep(milliseconds) }
}

/// Through which calls from outside reach a `T` that comes and goes.
///
/// Every call is counted, even one that finds nobody: it may sleep in the stock function it goes
/// on to, with our text on its stack.
pub(crate) struct Gate<T> {
    target: Atomic<*mut T>,
    in_flight: Atomic<i64>,
}

/// A call in flight. The target stays valid while it lives.
#[must_use = "the call is in flight only while this lives"]
pub(crate) struct Entered<'a, T> {
    gate: &'a Gate<T>,
}

impl<T> Gate<T> {
    /// A gate that leads nowhere yet.
    pub(crate) const fn new() -> Self {
        Self {
            target: Atomic::new(core::ptr::null_mut()),
            in_flight: Atomic::new(0),
        }
    }

    /// Counts a call. Any context.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_, T> {
        // Ordered before the load of the target: `close` reads the two in the other order.
        self.in_flight.fetch_add(1, Full);
        Entered { gate: self }
    }

    /// Lets calls through to `target` until the returned value is dropped.
    ///
    /// # Safety
    ///
    /// `target` must stay valid until then.
    pub(crate) unsafe fn open(&'static self, target: &T) -> Opened<T>
    where
        T: Sync,
    {
        self.target
            .store(core::ptr::from_ref(target).cast_mut(), Release);
        Opened(self)
    }

    /// Waits until a moment at which no call is in flight. Sleeps.
    pub(crate) fn wait_for_calls(&self) {
        while self.in_flight.fetch_add(0, Full) != 0 {
            sleep_ms(1);
        }
    }

    /// Lets no more calls through and waits for those in flight. Sleeps.
    ///
    /// Whoever enters after this finds nobody.
    fn close(&self) {
        self.target.store(core::ptr::null_mut(), Relaxed);
        self.wait_for_calls();
    }
}

/// A gate that is open while this lives.
#[must_use = "dropping it closes the gate"]
pub(crate) struct Opened<T: 'static>(&'static Gate<T>);

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        self.0.close();
        // The last instructions of a call come after it is no longer counted.
        wait_for_tasks();
    }
}

impl<T> Entered<'_, T> {
    /// What the gate leads to, if anything.
    #[inline]
    pub(crate) fn target(&self) -> Option<&T> {
        // SAFETY: Whoever opened the gate keeps the target valid until `close` has returned, and
        // that waits for this call. Either `close` saw the count, or this sees null.
        unsafe { self.gate.target.load(Acquire).as_ref() }
    }
}

impl<T> Drop for Entered<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.gate.in_flight.fetch_sub(1, Full);
    }
}

/// Work that runs once, some time after it was asked for, and never after it was dropped.
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

// SAFETY: Work items may be queued and cancelled from any task.
unsafe impl Send for Delayed {}
// SAFETY: As above; the workqueue code has its own locks.
unsafe impl Sync for Delayed {}

/// A function that a workqueue runs; it gets a pointer that is of no use here.
pub(crate) type WorkFn = extern "C" fn(work: *mut bindings::work_struct);

impl Delayed {
    /// Work that runs `function`, not queued yet.
    pub(crate) fn new(function: WorkFn) -> impl PinInit<Self> {
        // INVARIANT: The work is initialised with this function.
        pin_init!(Self {
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is memory for a `delayed_work` that stays where it is. The timer
                // runs the workqueue's own function and is marked irqsafe, as INIT_DELAYED_WORK()
                // does it.
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

    /// Has the function run after `delay` jiffies, unless it is queued already. Any context.
    pub(crate) fn queue(&self, delay: usize) {
        // SAFETY: By the type invariants the work is initialised; the system queue always exists.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_wq,
                self.work.get(),
                delay,
            )
        };
    }

    /// Has the function run at once, even if it is queued for later. Any context.
    pub(crate) fn hurry(&self) {
        // SAFETY: As in `queue`.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_wq,
                self.work.get(),
                0,
            )
        };
    }
}

#[pinned_drop]
impl PinnedDrop for Delayed {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the work is initialised. It may queue itself again: this
        // copes with that. May sleep.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
