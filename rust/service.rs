// SPDX-License-Identifier: GPL-2.0

//! The allocator as a service: reserve, finalize, write, free.
//!
//! It joins the decisions of `pack_core` with the effects of `region.rs` and `poke.rs`. Its files:
//!
//! - `books.rs`: the packs and images there are; `held.rs`: the books while they are locked
//! - `homes.rs`: the packs that each kind of program may use
//! - `grow.rs`: reserving memory and making packs
//! - `write.rs`: copying images into place
//! - `loads.rs`: programs whose images share one synchronisation of all CPUs
//! - `rounds.rs`: tasks that share one synchronisation of all CPUs
//! - `reclaim.rs`: freeing images and packs
//! - `listing.rs`: listing all images, a few under each hold of the lock
//! - `sleep.rs`: the linear aliases while the system goes to sleep
//! - `answers.rs`: what callers get back
//!
//! # Locks
//!
//! A task that needs several locks takes `grow`, then that of the rounds, then `books`. It holds no
//! other lock of these while it holds that of the loads.
//!
//! `books` is held only while the books are read or changed: never during a page allocation, a
//! change of mappings, a write to a pack, an interrupt to other CPUs or a wait. The number of steps
//! under it is bounded, except in `check`, which runs only when somebody writes that word to the
//! control file.
//!
//! `grow` is held while a region is made, so that two tasks that find the packs full do not both
//! make one. The lock of the rounds is held while all CPUs are synchronised.

#![deny(unsafe_code)]

mod answers;
#[allow(unsafe_code)] // In books/claim.rs.
mod books;
mod grow;
mod held;
mod homes;
mod listing;
mod loads;
mod reclaim;
mod rounds;
mod sleep;
mod write;

use crate::config::Config;
use crate::counters::Counters;
use crate::ksym::KernelFns;
use crate::lifetime::{
    Delayed,
    Gate, //
};
use crate::node::Node;
use crate::region::Origins;
use books::{
    Books,
    Counts, //
};
use held::Held;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::{
    CondVar,
    Mutex, //
};
use kernel::{
    new_condvar,
    new_mutex, //
};
use loads::Loads;
use pack_core::PoolStats;
use rounds::Rounds;

pub(crate) use answers::{
    Outcome,
    PackReport,
    Refusal, //
};
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
pub(crate) use held::LONGEST_HOLD;
pub(crate) use homes::Customer;
pub(crate) use listing::{
    Cursor,
    Group, //
};

/// The most log lines about bad calls. The counter counts them all.
const MAX_MESSAGES: u64 = 32;

/// The way of the hooks, the exported functions, the files and the delayed work to the service.
pub(crate) static GATE: Gate<Service> = Gate::new();

/// What the service does with requests for new images.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It refuses them, because `insmod` has not finished.
    Starting,
    Serving,
    /// It refuses them, so that the stock allocator serves.
    Draining,
}

/// The kinds of customers for which the background has to make a pack, and the memory node of the
/// task that was the last to find that.
struct Low {
    any: Atomic<bool>,
    classic: Atomic<bool>,
    node: Atomic<c_int>,
}

/// The allocator.
#[pin_data]
pub(crate) struct Service {
    // The work uses the other fields. So it comes first: fields are dropped in this order.
    #[pin]
    tidy_work: Delayed,
    #[pin]
    grow_work: Delayed,
    /// Notified when the last image is freed.
    #[pin]
    unused: CondVar,
    /// Held while a region is made.
    #[pin]
    grow: Mutex<()>,
    #[pin]
    books: Mutex<Books>,
    #[pin]
    rounds: Rounds,
    #[pin]
    loads: Loads,
    kernel: &'static KernelFns,
    config: Config,
    origins: Origins,
    /// A [`Mode`].
    mode: Atomic<u32>,
    low: Low,
    /// The size of the images that are retired and in no batch, or a little more.
    retired_bytes: Atomic<usize>,
    pub(crate) counters: Counters,
}

/// The work that queues itself again while something is left to tidy up.
extern "C" fn tidy_up(_work: *mut kernel::bindings::work_struct) {
    if let Some(service) = GATE.enter().target() {
        service.tidy_up();
    }
}

/// The work that is queued when packs run low.
extern "C" fn grow_where_low(_work: *mut kernel::bindings::work_struct) {
    if let Some(service) = GATE.enter().target() {
        service.grow_where_low();
    }
}

impl Service {
    /// Makes a service without packs, which refuses all requests until [`Service::start`].
    pub(crate) fn new(kernel: &'static KernelFns, config: Config) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tidy_work <- Delayed::new(tidy_up),
            grow_work <- Delayed::new(grow_where_low),
            unused <- new_condvar!(),
            grow <- new_mutex!(()),
            books <- new_mutex!(Books::new()?),
            rounds <- Rounds::new(),
            loads <- Loads::new(),
            kernel,
            config,
            origins: Origins::new(),
            mode: Atomic::new(Mode::Starting as u32),
            low: Low {
                any: Atomic::new(false),
                classic: Atomic::new(false),
                node: Atomic::new(0),
            },
            retired_bytes: Atomic::new(0),
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

    /// Begins to serve, and makes the first pack if there is memory for one. May sleep.
    pub(crate) fn start(&self) {
        self.set_draining(false);
        self.grow_ahead(Customer::Any, Node::here());
    }

    /// Stops or resumes serving requests for new images.
    pub(crate) fn set_draining(&self, draining: bool) {
        let mode = if draining {
            Mode::Draining
        } else {
            Mode::Serving
        };
        self.mode.store(mode as u32, Relaxed);
        // While draining, the background may free the pack that is kept at hand. Later it makes
        // another.
        if draining {
            self.tidy_later();
        } else {
            self.grow_later(Customer::Any);
        }
    }

    /// Whether serving was stopped.
    pub(crate) fn draining(&self) -> bool {
        self.mode.load(Relaxed) == Mode::Draining as u32
    }

    /// Whether requests for new images are served.
    fn serving(&self) -> bool {
        self.mode.load(Relaxed) == Mode::Serving as u32
    }

    /// The reason for refusing all requests now, if there is one.
    fn refusal_of_mode(&self) -> Option<Refusal> {
        if self.serving() {
            None
        } else if self.draining() {
            Some(Refusal::Draining)
        } else {
            Some(Refusal::Starting)
        }
    }

    /// Queues the work that makes a pack for `customer`, on the node of this task.
    fn grow_later(&self, customer: Customer) {
        let wanted = match customer {
            Customer::Classic => &self.low.classic,
            Customer::Any => &self.low.any,
        };
        self.low.node.store(Node::here().number(), Relaxed);
        wanted.store(true, Relaxed);
        self.grow_work.queue(0);
    }

    /// Whether the work that tidies up is queued.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn will_tidy(&self) -> bool {
        self.books().tidying
    }

    /// Waits until all images are freed. Sleeps.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal came first.
    pub(crate) fn wait_until_unused(&self) -> Result {
        let mut books = self.books.lock();
        while books.in_use() {
            books.awaited = true;
            if self.unused.wait_interruptible(&mut books) {
                return Err(ERESTARTSYS);
            }
        }
        Ok(())
    }

    /// Recounts everything in the books. This takes some milliseconds for each pack, with the lock
    /// held.
    ///
    /// # Errors
    ///
    /// `EIO` if the books have a flaw, which the log names.
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

    /// Counts a bad call and writes a line about it to the log. Call it with no lock held.
    ///
    /// The log shows no address of a pack, because that would tell where the kernel is.
    #[cold]
    #[inline(never)]
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

    /// The size of all regions, in bytes.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.books().mapped_bytes() as u64
    }

    /// The figures of all packs together.
    pub(crate) fn stats(&self) -> PoolStats {
        self.books().pool.stats()
    }

    /// Numbers of images since `insmod`.
    pub(crate) fn counts(&self) -> Counts {
        self.books().counts
    }

    /// The number of synchronisations of all CPUs since `insmod`.
    pub(crate) fn synchronisations(&self) -> u64 {
        self.rounds.begun()
    }

    /// The pack in `slot`, which is below [`MAX_PACKS`](crate::plan::MAX_PACKS), if there is one.
    pub(crate) fn pack(&self, slot: u32) -> Option<PackReport> {
        let books = self.books();
        books.report(books.pool.id_of_slot(slot)?)
    }
}
