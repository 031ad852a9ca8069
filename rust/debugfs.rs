// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/bpf_pack/`: `status` to read, `control` to write.

#![deny(unsafe_code)]

use crate::region::Place;
use crate::service::{Service, GATE, MAX_PACKS};
use kernel::debugfs::{Dir, File};
use kernel::fmt;
use kernel::prelude::*;
use kernel::uaccess::UserSliceReader;

/// What the files stand for: they reach the service as any other caller does.
struct Handle;

/// The directory and its files; they vanish when this is dropped.
#[pin_data]
pub(crate) struct DebugFs {
    #[pin]
    status: File<Handle>,
    #[pin]
    control: File<Handle>,
    // Dropped last: it holds the files.
    dir: Dir,
}

impl DebugFs {
    /// Makes the directory. Without debugfs in the kernel nothing happens.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"bpf_pack");
        try_pin_init!(Self {
            status <- dir.read_callback_file(c"status", Handle, &|_, f| match GATE.enter().target() {
                Some(service) => show_status(service, f),
                None => Ok(()),
            }),
            control <- dir.read_write_callback_file(c"control", Handle, &show_control, &set_control),
            dir,
        })
    }
}

/// The state that `control` sets.
fn show_control(_: &Handle, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match GATE.enter().target() {
        Some(service) if service.draining() => writeln!(f, "drain"),
        Some(_) => writeln!(f, "serve"),
        None => Ok(()),
    }
}

/// Takes `drain` or `serve`.
fn set_control(_: &Handle, reader: &mut UserSliceReader) -> Result {
    let mut text = [0u8; 16];
    let len = reader.len();
    let word = text.get_mut(..len).ok_or(EINVAL)?;
    reader.read_slice(word)?;
    let draining = match word.trim_ascii() {
        b"drain" => true,
        b"serve" => false,
        _ => return Err(EINVAL),
    };
    let entered = GATE.enter();
    entered.target().ok_or(ENODEV)?.set_draining(draining);
    Ok(())
}

/// One `name: value` line each, then one line for each pack. Sizes are bytes.
fn show_status(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let stats = service.stats();
    let counters = &service.counters;
    let tallies = &stats.tallies;
    writeln!(f, "mode: {}", if service.draining() { "draining" } else { "serving" })?;
    writeln!(f, "packs: {}", stats.packs)?;
    writeln!(f, "empty packs: {}", stats.empty_packs)?;
    writeln!(f, "pack bytes: {}", stats.bytes())?;
    // Code that the kernel writes in place, such as trampolines, is never finalized: it stays
    // reserved.
    let images = tallies.live.plus(tallies.reserved);
    writeln!(f, "images: {}", images.ranges)?;
    writeln!(f, "live images: {}", tallies.live.ranges)?;
    writeln!(f, "live bytes: {}", tallies.live.bytes())?;
    writeln!(f, "reserved images: {}", tallies.reserved.ranges)?;
    writeln!(f, "reserved bytes: {}", tallies.reserved.bytes())?;
    writeln!(f, "retired images: {}", tallies.dying().ranges)?;
    writeln!(f, "retired bytes: {}", tallies.dying().bytes())?;
    writeln!(f, "free bytes: {}", stats.free_bytes())?;
    writeln!(f, "largest hole bytes: {}", stats.largest_hole_bytes())?;
    writeln!(f, "images served: {}", counters.served.get())?;
    writeln!(f, "images finalized: {}", counters.finalized.get())?;
    writeln!(f, "images freed: {}", counters.freed.get())?;
    writeln!(f, "writes into images: {}", counters.written.get())?;
    writeln!(f, "trimmed bytes: {}", counters.trimmed.get())?;
    writeln!(f, "all-CPU synchronisations: {}", counters.synchronised.get())?;
    writeln!(f, "images released by them: {}", counters.released.get())?;
    writeln!(f, "packs made: {}", counters.regions_made.get())?;
    writeln!(f, "packs given back: {}", counters.regions_freed.get())?;
    let refused = &counters.refused;
    writeln!(f, "to the stock allocator, draining: {}", refused.draining.get())?;
    writeln!(f, "to the stock allocator, no memory: {}", refused.no_memory.get())?;
    writeln!(f, "to the stock allocator, size: {}", refused.size.get())?;
    writeln!(f, "to the stock allocator, leaving: {}", refused.leaving.get())?;
    writeln!(f, "to the stock allocator, predictor flush: {}", refused.pred_flush.get())?;
    writeln!(f, "bad calls: {}", counters.misuse.get())?;
    writeln!(f, "copy errors: {}", counters.copy_errors.get())?;
    writeln!(f, "jit charged bytes: {}", service.kernel().jit_charged())?;
    show_packs(service, f)
}

/// One line for each pack; the leaf is what the live page tables say.
fn show_packs(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // CAST: A small constant.
    for report in (0..MAX_PACKS as u32).filter_map(|slot| service.pack(slot)) {
        let region = &report.region;
        let start = region.address();
        write!(f, "pack {:#018x}-{:#018x}: ", start, start.saturating_add(region.len()))?;
        match region.leaf() {
            Some(leaf) => write!(f, "{leaf}")?,
            None => write!(f, "unknown leaf")?,
        }
        writeln!(
            f,
            ", {}, linear alias {}, {} images, {} live, {} reserved, {} retired, {} free bytes",
            match region.place() {
                Place::Near => "near",
                Place::Far => "far",
            },
            if region.alias_invalid() { "invalid" } else { "WRITABLE" },
            report.stats.tallies.total().ranges,
            report.stats.tallies.live.bytes(),
            report.stats.tallies.reserved.bytes(),
            report.stats.tallies.dying().bytes(),
            report.stats.free_bytes(),
        )?;
    }
    Ok(())
}
