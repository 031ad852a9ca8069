// SPDX-License-Identifier: GPL-2.0

//! Steps that can fail, each with a name, so that the test build can make each of them fail.
//!
//! Code calls [`at`] before such a step and treats its error as that of the step. A shipped module has
//! no trace of it: there `at` is a constant.

#![deny(unsafe_code)]

#[cfg(not(CONFIG_ARM64_BPF_PACK_TEST))]
use kernel::prelude::*;

/// Declares the points, each once: the variant, its name in `faults`, and what fails there.
macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A step that can fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(CONFIG_ARM64_BPF_PACK_TEST), allow(dead_code))]
        pub(crate) enum Point {
            $($(#[$doc])* $variant,)*
        }

        /// The names of all points, in order.
        #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
        pub(crate) const NAMES: &[&str] = &[$($name),*];
    };
}

points! {
    /// insmod: memory for the kprobe that finds symbols.
    ProbeMemory = "probe-memory",
    /// insmod: the kernel registers no kprobe.
    ProbeRegister = "probe-register",
    /// insmod: the kernel's function that counts symbols is missing.
    Lookup = "lookup",
    /// insmod: a symbol of the kernel is missing.
    Symbol = "symbol",
    /// insmod: an optional symbol of the kernel is missing.
    OptionalSymbol = "optional-symbol",
    /// insmod: memory for the slots of the pool.
    Slots = "slots",
    /// insmod: memory for the list of regions.
    Regions = "regions",
    /// insmod: memory for the index across packs.
    Index = "index",
    /// insmod: memory for the notes of short holes.
    Holes = "holes",
    /// insmod: memory for the map of addresses.
    Owners = "owners",
    /// insmod: memory for the service.
    Service = "service",
    /// insmod: memory for the registration of what happens before sleep.
    Sleep = "sleep",
    /// insmod: ftrace does not know a function.
    HookSite = "hook-site",
    /// insmod: memory for the list of redirections.
    HookList = "hook-list",
    /// insmod: memory for a redirection.
    HookMemory = "hook-memory",
    /// insmod: ftrace takes no filter for a function.
    HookFilter = "hook-filter",
    /// insmod: ftrace registers no user of a function.
    HookRegister = "hook-register",
    /// insmod: the kernel makes no BPF program to try.
    ProofProgram = "proof-program",
    /// insmod: the JIT does not come through the hook on alloc.
    ProofAlloc = "proof-alloc",
    /// insmod: the JIT does not come through the hook on finalize.
    ProofFinalize = "proof-finalize",
    /// insmod: the JIT does not come through the hook on free.
    ProofFree = "proof-free",
    /// alloc: the module is being removed.
    Lease = "lease",
    /// alloc: memory and room for a region.
    RegionMemory = "region-memory",
    /// alloc: the page tables of a region make no sense.
    RegionLeaf = "region-leaf",
    /// alloc: filling a region with traps.
    RegionTraps = "region-traps",
    /// alloc: the linear alias of a region stays valid.
    RegionAlias = "region-alias",
    /// alloc: memory for what is shared about a region.
    RegionShared = "region-shared",
    /// alloc: memory for the books of a pack.
    PackWords = "pack-words",
    /// alloc: a slot for a pack.
    PackSlot = "pack-slot",
    /// finalize, write: the image cannot be read.
    CopyRead = "copy-read",
    /// finalize, write, free: the memory behind an address is not found.
    Window = "window",
    /// free: filling an image with traps.
    Traps = "traps",
    /// attach: the target of a far branch cannot be written.
    FarTarget = "far-target",
    /// attach: the branch cannot be written.
    FarBranch = "far-branch",
}

/// Nothing fails.
#[cfg(not(CONFIG_ARM64_BPF_PACK_TEST))]
#[inline(always)]
pub(crate) fn at(_point: Point, _error: Error) -> Result {
    Ok(())
}

#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
pub(crate) use armed::*;

/// What the test build has: one point at a time is armed.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
mod armed {
    use super::{
        Point,
        NAMES, //
    };
    use crate::lifetime::sleep_ms;
    use kernel::prelude::*;
    use kernel::sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    };

    /// The number of the armed point, from 1 on; 0 if none is.
    static ARMED: Atomic<u32> = Atomic::new(0);
    /// How often it is passed before it fails.
    static SKIP: Atomic<u32> = Atomic::new(0);
    /// How often it failed.
    static FAILED: Atomic<u32> = Atomic::new(0);

    /// The number of the point at which a task stops, from 1 on; 0 if none does.
    static STOP: Atomic<u32> = Atomic::new(0);
    /// Whether a task has stopped there.
    static STOPPED: Atomic<bool> = Atomic::new(false);

    /// Fails with `error` if `point` is armed and was passed often enough. Sleeps first while it is a
    /// point at which tasks stop.
    pub(crate) fn at(point: Point, error: Error) -> Result {
        while STOP.load(Acquire) == (point as u32).saturating_add(1) {
            STOPPED.store(true, Release);
            sleep_ms(1);
        }
        if ARMED.load(Relaxed) != (point as u32).saturating_add(1) {
            return Ok(());
        }
        let skip = SKIP.load(Relaxed);
        if skip > 0 {
            SKIP.store(skip.saturating_sub(1), Relaxed);
            return Ok(());
        }
        FAILED.fetch_add(1, Relaxed);
        Err(error)
    }

    /// Makes the point with this number, from 1 on, fail from its `skip + 1`st passing on; 0 for none.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such point.
    pub(crate) fn arm(number: u32, skip: u32) -> Result {
        if number as usize > NAMES.len() {
            return Err(EINVAL);
        }
        FAILED.store(0, Relaxed);
        SKIP.store(skip, Relaxed);
        ARMED.store(number, Relaxed);
        Ok(())
    }

    /// Makes `point` fail whenever it is passed, until the returned value is dropped.
    #[must_use = "nothing fails any more when it is dropped"]
    pub(crate) fn while_armed(point: Point) -> Armed {
        SKIP.store(0, Relaxed);
        ARMED.store((point as u32).saturating_add(1), Relaxed);
        Armed
    }

    /// Makes tasks stop at `point`, which has to be one where a task may sleep, until the returned
    /// value is dropped.
    #[must_use = "tasks go on when it is dropped"]
    pub(crate) fn stop_at(point: Point) -> Stop {
        STOPPED.store(false, Relaxed);
        STOP.store((point as u32).saturating_add(1), Release);
        Stop
    }

    /// Tasks stop at a point while this lives.
    pub(crate) struct Stop;

    impl Stop {
        /// Sleeps until a task has stopped there. Returns whether one has within ten seconds.
        pub(crate) fn wait(&self) -> bool {
            for _ in 0..10_000 {
                if STOPPED.load(Acquire) {
                    return true;
                }
                sleep_ms(1);
            }
            false
        }
    }

    impl Drop for Stop {
        fn drop(&mut self) {
            STOP.store(0, Release);
        }
    }

    /// A point is armed while this lives.
    pub(crate) struct Armed;

    impl Drop for Armed {
        fn drop(&mut self) {
            ARMED.store(0, Relaxed);
        }
    }

    /// Arms what the words of a text say: a number and, if wanted, how often to pass.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are no numbers or there is no such point.
    pub(crate) fn arm_as_told(text: &[u8]) -> Result {
        let mut words = text.split(|byte| *byte == b' ');
        let number = words.next().and_then(number).ok_or(EINVAL)?;
        let skip = words.next().map_or(Some(0), self::number).ok_or(EINVAL)?;
        arm(number, skip)
    }

    /// The number that decimal digits make.
    fn number(digits: &[u8]) -> Option<u32> {
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The number of the armed point, and how often it failed.
    pub(crate) fn armed() -> (u32, u32) {
        (ARMED.load(Relaxed), FAILED.load(Relaxed))
    }
}
