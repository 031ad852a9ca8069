// SPDX-License-Identifier: GPL-2.0

//! Loads of programs of several functions, whose images share one synchronisation of all CPUs.
//!
//! The kernel finalizes the images of such a program one after the other, in
//! `bpf_fixup_call_args()` (kernel/bpf/fixups.c, `jit_subprogs()`). Nothing enters one of them
//! before that function has returned. So the task that is in it copies and maintains each image,
//! and leaves it to the end of the load to synchronise and to make them live. Until then they are
//! [`Writing`](pack_core::RangeState::Writing).
//!
//! If a load never ends, because its task died in it, its images stay as they are: nobody enters
//! them, and nobody gets their memory.

#![deny(unsafe_code)]

use super::books::claim::Claim;
use super::Service;
use kernel::current;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::Mutex;
use kernel::task::Task;
use kernel::types::NotThreadSafe;

/// The most images of a program: BPF_MAX_SUBPROGS (include/linux/bpf_verifier.h).
const MAX_IMAGES: usize = 256;

/// A load that is under way, in a list: so adding one needs no memory while the list is locked.
struct Open {
    /// Held, so that no other task can be at this address while the load is in the list.
    task: ARef<Task>,
    /// Images that were copied and maintained. It has room for all of the load.
    copied: KVVec<Claim>,
    next: Link,
}

/// A place in the list: the load there, if it is not the end.
type Link = Option<KBox<Open>>;

/// The loads that are under way.
#[pin_data]
pub(super) struct Loads {
    /// Their number. A task finds its own load in it, because it has added that itself.
    count: Atomic<usize>,
    #[pin]
    first: Mutex<Link>,
}

impl Loads {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(0),
            first <- new_mutex!(None),
        })
    }

    /// Adds a load of up to `images` images by this task.
    fn add(&self, images: usize) -> Result {
        let copied = KVVec::with_capacity(images.min(MAX_IMAGES), GFP_KERNEL)?;
        let mut load = KBox::new(
            Open {
                task: ARef::from(&**current!()),
                copied,
                next: None,
            },
            GFP_KERNEL,
        )?;
        let mut first = self.first.lock();
        load.next = first.take();
        *first = Some(load);
        drop(first);
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Takes this task's load out and returns its images.
    fn take(&self) -> KVVec<Claim> {
        let mut first = self.first.lock();
        let taken = mine(&mut first).and_then(|link| {
            let mut load = link.take()?;
            *link = load.next.take();
            Some(load)
        });
        drop(first);
        let Some(load) = taken else {
            return KVVec::new();
        };
        self.count.fetch_sub(1, Relaxed);
        KBox::into_inner(load).copied
    }

    /// Whether the image at `address` was left to the end of this task's load.
    ///
    /// An image that this task's load has made is either here or live. If it is being written and not
    /// here, another task does that.
    pub(super) fn has(&self, address: usize) -> bool {
        if self.count.load(Relaxed) == 0 {
            return false;
        }
        let mut first = self.first.lock();
        let load = mine(&mut first).and_then(|link| link.as_deref());
        load.is_some_and(|load| load.copied.iter().any(|claim| claim.address() == address))
    }

    /// Leaves an image that was copied and maintained to the end of this task's load.
    ///
    /// # Errors
    ///
    /// The claim, if this task is in no load or that has no room for it.
    #[inline(always)]
    pub(super) fn defer(&self, claim: Claim) -> Result<(), Claim> {
        if self.count.load(Relaxed) == 0 {
            return Err(claim);
        }
        self.defer_to_mine(claim)
    }

    /// As [`Self::defer`], where some task is in a load.
    #[inline(never)]
    fn defer_to_mine(&self, claim: Claim) -> Result<(), Claim> {
        let mut first = self.first.lock();
        match mine(&mut first).and_then(|link| link.as_deref_mut()) {
            Some(load) => load
                .copied
                .push_within_capacity(claim)
                .map_err(|full| full.0),
            None => Err(claim),
        }
    }
}

/// Returns the place of the load of the task that calls this, if it has one. O(loads under way).
fn mine(mut link: &mut Link) -> Option<&mut Link> {
    while link.as_deref()?.task.as_ptr() != Task::current_raw() {
        link = &mut link.as_mut()?.next;
    }
    Some(link)
}

/// A load of this task. Dropping it makes its images live.
#[must_use = "the load ends when it is dropped"]
pub(crate) struct Load<'a> {
    service: &'a Service,
    /// Only the task that began it finds it.
    _task: NotThreadSafe,
}

impl Service {
    /// Begins a load of `images` images: those that this task finalizes share one synchronisation.
    /// May sleep.
    ///
    /// Nobody may enter them before the returned value is dropped, by this same task.
    ///
    /// [`None`] if there is no memory for it. Then each image is synchronised by itself.
    pub(crate) fn begin_load(&self, images: usize) -> Option<Load<'_>> {
        self.loads.add(images).ok()?;
        Some(Load {
            service: self,
            _task: NotThreadSafe,
        })
    }

    /// Ends this task's load: synchronises all CPUs once, and makes the images live that were not
    /// freed meanwhile. Sleeps.
    pub(crate) fn end_load(&self) {
        let copied = self.loads.take();
        if copied.is_empty() {
            return;
        }
        self.synchronise();
        self.counters.loads.inc();
        for claim in copied {
            // A load that fails frees its images in the end: that is no error of the image.
            let _ = self.make_live(claim);
        }
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.service.end_load();
    }
}
