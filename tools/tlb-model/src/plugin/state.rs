// SPDX-License-Identifier: GPL-2.0

//! The state of the plugin, which all callbacks share.
//!
//! Lock order: `regions`, then one CPU at a time, then `out`.

use crate::counters::{Inline, InlineCounts, Snapshot, Tally};
use crate::ffi;
use crate::irqs::IrqsOff;
use crate::options::Options;
use crate::plugin::cpu::{fail, QemuCpu};
use crate::region::Regions;
use crate::tlb::Kill;
use crate::vcpu::Vcpu;
use std::ffi::{c_uint, CString};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

/// "No current page": not the page number of any address.
pub(super) const NO_PAGE: u64 = u64::MAX;
/// Neither a page number nor [`NO_PAGE`].
pub(super) const NEVER_PAGE: u64 = u64::MAX - 1;
/// Set in the data of [`on_page`](super::callbacks::on_page) when generated code calls it in the
/// middle of a translation block.
pub(super) const SECOND_PAGE: u64 = 1;
/// Bytes of a scoreboard row: the current page, the number of open regions and the inline counters.
pub(super) const ROW: usize = size_of::<u64>() * (2 + Inline::ALL.len());

/// The plugin's state.
pub(super) struct Plugin {
    /// How QEMU calls the plugin.
    pub(super) id: ffi::Id,
    /// The options of the command line.
    pub(super) options: Options,
    /// Whether anything is counted yet: until then markers are all that is looked for. It changes
    /// while no CPU executes, so no order with other memory is needed.
    pub(super) counting: AtomicBool,
    /// The current page of each CPU.
    pub(super) page: ffi::U64,
    /// How many regions are open: without any, [`on_irqs`](super::callbacks::on_irqs) is not
    /// called.
    pub(super) watch: ffi::U64,
    /// The inline counters of each CPU.
    pub(super) inline: [ffi::U64; Inline::ALL.len()],
    /// The CPUs; empty until they are initialised.
    pub(super) vcpus: Vec<OnceLock<Mutex<Slot>>>,
    /// The open regions.
    pub(super) regions: Mutex<Regions>,
    /// The output file, if there is one.
    pub(super) out: Option<Mutex<File>>,
}

// SAFETY: The raw pointers in it are scoreboards, which QEMU lets any thread use.
unsafe impl Send for Plugin {}
// SAFETY: As above; locks protect all fields that change, but `counting`, which is atomic.
unsafe impl Sync for Plugin {}

/// Set once, by `qemu_plugin_install()`.
pub(super) static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// A CPU: its model, and access to the guest's state.
pub(super) struct Slot {
    /// The modelled CPU.
    pub(super) vcpu: Vcpu,
    /// Its stretches with interrupts masked.
    pub(super) irqs: IrqsOff,
    /// Access to registers and memory.
    pub(super) guest: QemuCpu,
    /// The thread that runs it.
    pub(super) thread: ThreadId,
}

/// Locks; the panic strategy is abort, so a lock is never poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plugin {
    /// The plugin. Callbacks run only after it was set.
    pub(super) fn get() -> &'static Self {
        match PLUGIN.get() {
            Some(plugin) => plugin,
            None => fail("called before it was installed"),
        }
    }

    /// The CPU numbered `index`.
    pub(super) fn slot(&self, index: c_uint) -> MutexGuard<'_, Slot> {
        match self.vcpus.get(index as usize).and_then(OnceLock::get) {
            Some(slot) => lock(slot),
            None => fail(&format!("CPU {index} was not initialised")),
        }
    }

    /// The CPUs that were initialised.
    pub(super) fn slots(&self) -> impl Iterator<Item = (c_uint, &Mutex<Slot>)> {
        let numbered = (0..).zip(&self.vcpus);
        numbered.filter_map(|(i, slot)| Some((i, slot.get()?)))
    }

    /// Makes the CPU's next translation block call [`on_page`](super::callbacks::on_page).
    pub(super) fn forget_page(&self, index: c_uint) {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_set(self.page, index, NO_PAGE) };
    }

    /// Has [`on_irqs`](super::callbacks::on_irqs) called or not on a CPU.
    pub(super) fn watch_interrupts(&self, index: c_uint, open_regions: usize) {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_set(self.watch, index, open_regions as u64) };
    }

    /// An inline counter of a CPU.
    pub(super) fn counter(&self, which: Inline, index: c_uint) -> u64 {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_get(self.inline[which as usize], index) }
    }

    /// All counters now. `executing` is the CPU in whose callback this is, with the number of
    /// instructions that generated code has counted in advance.
    pub(super) fn snapshot(&self, executing: Option<(c_uint, u64)>) -> Snapshot {
        let mut sum = Snapshot::default();
        sum.models
            .resize_with(self.options.models.len(), Default::default);
        for (index, slot) in self.slots() {
            let mut inline: InlineCounts = Inline::ALL.map(|which| self.counter(which, index));
            if let Some((_, ahead)) = executing.filter(|&(vcpu, _)| vcpu == index) {
                let insns = &mut inline[Inline::Insns as usize];
                *insns = insns.saturating_sub(ahead);
            }
            let mut slot = lock(slot);
            slot.vcpu.settle(inline[Inline::Insns as usize]);
            sum.inline.add(&inline);
            sum.cpu.add(slot.vcpu.counts());
            let models = sum.models.iter_mut().zip(slot.vcpu.model_counts());
            models.for_each(|(sum, counts)| sum.add(counts));
        }
        sum
    }

    /// Removes entries: of one CPU, or of all.
    pub(super) fn kill(&self, kill: &Kill, only: Option<c_uint>, count: bool) {
        for (index, slot) in self.slots() {
            if only.is_none_or(|vcpu| vcpu == index) {
                let mut slot = lock(slot);
                slot.vcpu.kill(kill, count);
                self.forget_page(index);
            }
        }
    }

    /// Writes a line.
    pub(super) fn print(&self, line: &str) {
        match &self.out {
            Some(file) => {
                if let Err(why) = lock(file).write_all(line.as_bytes()) {
                    fail(&format!("cannot write the output: {why}"));
                }
            }
            None => {
                if let Ok(text) = CString::new(line) {
                    // SAFETY: The string ends with NUL.
                    unsafe { ffi::qemu_plugin_outs(text.as_ptr()) };
                }
            }
        }
    }
}
