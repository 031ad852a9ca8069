// SPDX-License-Identifier: GPL-2.0

//! The allocator as a service: reserve, finalize, write, retire.
//!
//! It joins the decisions of `pack_core` with the effects of `region.rs` and `poke.rs`. Its rooms:
//! `books.rs` (what there is; `held.rs`: while it is locked), `homes.rs` (which packs are for whom), `grow.rs` (reserving, making
//! packs), `write.rs` (copying into place), `reclaim.rs` (freeing).
//!
//! # Locks
//!
//! In this order: `grow`, then `books`. `books` is held only while the books are read or changed:
//! never across a page allocation, a mapping change, a write into a pack, an interrupt to other
//! CPUs or a wait, and never for longer than a bounded number of steps (but for `check`, which
//! somebody has to ask for). `grow` is held while a region
//! is made, so that two tasks that find the packs full do not both make one.

#![deny(unsafe_code)]

mod answers;
#[allow(unsafe_code)] // Its room claim.rs has some.
mod books;
mod grow;
mod held;
mod homes;
mod reclaim;
mod write;

use crate::config::Config;
use crate::counters::Counters;
use crate::ksym::KernelFns;
use crate::lifetime::{
    Delayed,
    Gate, //
};
use crate::region::{
    Origins,
    Region, //
};
use answers::Refusal;
use books::Books;
use held::Held;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::{
    Arc,
    CondVar,
    Mutex, //
};
use kernel::{
    new_condvar,
    new_mutex, //
};
use pack_core::{
    PackStats,
    PoolStats, //
};

pub(crate) use answers::Outcome;
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
pub(crate) use held::LONGEST_HOLD;
pub(crate) use homes::Customer;

/// Messages about bad calls at most; the counter goes on.
const MAX_MESSAGES: u64 = 32;

/// Through which the JIT's calls, the exported functions and the delayed work reach the service.
pub(crate) static GATE: Gate<Service> = Gate::new();

/// What the service does with new images.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not yet anything.
    Starting,
    /// It serves them.
    Serving,
    /// It leaves them to the stock allocator.
    Draining,
}

/// Customers for whom packs run low.
struct Low {
    any: Atomic<bool>,
    classic: Atomic<bool>,
}

/// The allocator.
#[pin_data]
pub(crate) struct Service {
    // Dropped first: the work uses what follows.
    #[pin]
    tidy_work: Delayed,
    #[pin]
    grow_work: Delayed,
    /// Notified when the last image was freed.
    #[pin]
    unused: CondVar,
    /// Held while a region is made.
    #[pin]
    grow: Mutex<()>,
    #[pin]
    books: Mutex<Books>,
    kernel: &'static KernelFns,
    config: Config,
    origins: Origins,
    /// A [`Mode`].
    mode: Atomic<u32>,
    low: Low,
    pub(crate) counters: Counters,
}

/// One pack, for those who show it.
pub(crate) struct PackReport {
    /// What the books say.
    pub(crate) stats: PackStats,
    /// The memory.
    pub(crate) region: Arc<Region>,
}

/// What the workqueue runs for the service once in a while.
extern "C" fn tidy_up(_work: *mut kernel::bindings::work_struct) {
    if let Some(service) = GATE.enter().target() {
        service.tidy_up();
    }
}

/// What the workqueue runs when packs run low.
extern "C" fn grow_where_low(_work: *mut kernel::bindings::work_struct) {
    if let Some(service) = GATE.enter().target() {
        service.grow_where_low();
    }
}

impl Service {
    /// An empty service that serves nothing yet.
    pub(crate) fn new(kernel: &'static KernelFns, config: Config) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tidy_work <- Delayed::new(tidy_up),
            grow_work <- Delayed::new(grow_where_low),
            unused <- new_condvar!(),
            grow <- new_mutex!(()),
            books <- new_mutex!(Books::new()?),
            kernel,
            config,
            origins: Origins::random(kernel),
            mode: Atomic::new(Mode::Starting as u32),
            low: Low {
                any: Atomic::new(false),
                classic: Atomic::new(false),
            },
            counters: Counters::default(),
        })
    }

    /// The kernel's symbols.
    pub(crate) fn kernel(&self) -> &'static KernelFns {
        self.kernel
    }

    /// Locks the books. May sleep.
    fn books(&self) -> Held<'_> {
        Held::lock(&self.books)
    }

    /// Begins to serve, with a pack at hand if there is memory for one. May sleep.
    pub(crate) fn start(&self) {
        self.set_draining(false);
        self.grow_ahead(Customer::Any);
    }

    /// Stops new images, or lets them come again.
    pub(crate) fn set_draining(&self, draining: bool) {
        let mode = if draining {
            Mode::Draining
        } else {
            Mode::Serving
        };
        self.mode.store(mode as u32, Relaxed);
        // The pack that is kept at hand is not needed while draining, and wanted again afterwards.
        if draining {
            self.tidy_later();
        } else {
            self.grow_later(Customer::Any);
        }
    }

    /// Whether new images are stopped.
    pub(crate) fn draining(&self) -> bool {
        self.mode.load(Relaxed) == Mode::Draining as u32
    }

    /// Whether new images are served.
    fn serving(&self) -> bool {
        self.mode.load(Relaxed) == Mode::Serving as u32
    }

    /// Why no image is served now, if so.
    fn refusal_of_mode(&self) -> Option<Refusal> {
        if self.serving() {
            None
        } else if self.draining() {
            Some(Refusal::Draining)
        } else {
            Some(Refusal::Starting)
        }
    }

    /// Has a pack made for `customer` in the background.
    fn grow_later(&self, customer: Customer) {
        let wanted = match customer {
            Customer::Classic => &self.low.classic,
            Customer::Any => &self.low.any,
        };
        wanted.store(true, Relaxed);
        self.grow_work.queue(0);
    }

    /// Waits until no image is there that was not freed. Sleeps.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal came first.
    pub(crate) fn wait_until_unused(&self) -> Result {
        let mut books = self.books.lock();
        while books.in_use() {
            if self.unused.wait_interruptible(&mut books) {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }

    /// Counts everything in the books again: some milliseconds for each pack, with the lock held.
    ///
    /// # Errors
    ///
    /// `EIO` if something is wrong; the log says what.
    pub(crate) fn check(&self) -> Result {
        let found = self.books().check();
        found.map_err(|flaw| {
            pr_err!(
                "the books are wrong: {} (slot {:?}, chunk {:?})\n",
                flaw.what,
                flaw.slot,
                flaw.chunk
            );
            EIO
        })
    }

    /// Counts and reports a call that makes no sense. Not to be called with a lock held.
    ///
    /// The log does not show where packs are, which would also tell where the kernel is.
    pub(crate) fn report_bad_call(&self, what: &str, address: usize, error: Error) {
        self.counters.bad_calls.inc();
        if self.counters.bad_calls.get() > MAX_MESSAGES {
            return;
        }
        let found = self.books().owners.find(address);
        match found {
            Some((slot, offset)) => {
                pr_err!("bad {what} at offset {offset:#x} of pack {slot} ({error:?})\n");
            }
            None => pr_err!("bad {what} of an address in none of the packs ({error:?})\n"),
        }
    }

    /// Bytes that are mapped for packs and for large images.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.books().mapped_bytes() as u64
    }

    /// The totals.
    pub(crate) fn stats(&self) -> PoolStats {
        self.books().pool.stats()
    }

    /// The pack in `slot`, which is below [`MAX_PACKS`](crate::plan::MAX_PACKS), if there is one.
    pub(crate) fn pack(&self, slot: u32) -> Option<PackReport> {
        let books = self.books();
        let id = books.pool.id_of_slot(slot)?;
        Some(PackReport {
            stats: books.pool.pack(id)?.stats(),
            region: books.region(id)?.clone(),
        })
    }
}
