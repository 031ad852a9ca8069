// SPDX-License-Identifier: GPL-2.0

//! What happens to packs when the system goes to sleep.
//!
//! Hibernation copies memory through the linear map. The kernel would map each page of a pack for
//! its copy. Where the linear map has blocks, that splits them, with memory that is not in the
//! image of the system any more. So the aliases of all packs are valid while one CPU runs with
//! interrupts off to make that image, and again while it is restored.

use crate::service::GATE;
use crate::sys;
use core::marker::PhantomPinned;
use kernel::bindings;
use kernel::prelude::*;
use kernel::types::Opaque;

/// The operations in a static.
#[repr(transparent)]
struct Operations(sys::syscore_ops);

// SAFETY: Nobody writes to them.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(sys::syscore_ops {
    suspend: Some(suspend),
    resume: Some(resume),
    shutdown: None,
});

/// Runs with interrupts off, when no other CPU is online.
///
/// # Safety
///
/// None: it is unsafe because the kernel's type for it is.
unsafe extern "C" fn suspend(_data: *mut c_void) -> c_int {
    let entered = GATE.enter();
    let result = entered
        .target()
        .map_or(Ok(()), |service| service.expose_aliases());
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// The same, if [`suspend`] succeeded.
///
/// # Safety
///
/// None: it is unsafe because the kernel's type for it is.
unsafe extern "C" fn resume(_data: *mut c_void) {
    let entered = GATE.enter();
    if let Some(service) = entered.target() {
        service.hide_aliases();
    }
}

/// The registration of these operations. Dropping it removes it.
///
/// # Invariants
///
/// `syscore` is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct Sleep {
    #[pin]
    syscore: Opaque<sys::syscore>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Any task may remove the registration.
unsafe impl Send for Sleep {}
// SAFETY: `&Sleep` has no methods.
unsafe impl Sync for Sleep {}

impl Sleep {
    /// Registers the operations. May sleep.
    pub(crate) fn register() -> impl PinInit<Self> {
        // INVARIANT: It is registered as soon as it is initialised.
        pin_init!(Self {
            syscore <- Opaque::ffi_init(|slot: *mut sys::syscore| {
                // SAFETY: `slot` is memory for a `syscore` that does not move, because it is
                // pinned. The operations are a static of this module; `drop` removes them before
                // the module goes. They do not use the data.
                unsafe {
                    slot.write(sys::syscore {
                        node: bindings::list_head::default(),
                        ops: &raw const OPERATIONS.0,
                        data: core::ptr::null_mut(),
                    });
                    sys::register_syscore(slot);
                }
            }),
            _pin: PhantomPinned,
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Sleep {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants it is registered.
        unsafe { sys::unregister_syscore(self.syscore.get()) };
    }
}
