// SPDX-License-Identifier: GPL-2.0

//! What the service knows, as text.

#![deny(unsafe_code)]

use crate::plan::Place;
use crate::poke;
use crate::service::{
    Service,
    MAX_PACKS, //
};
use kernel::fmt;

/// The text of `status`: one `name: value` line each, then one line for each pack. Sizes are bytes.
pub(crate) struct Status<'a>(pub(crate) &'a Service);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_totals(self.0, f)?;
        show_packs(self.0, f)
    }
}

/// What the first pack is like, in words for the log.
pub(crate) struct FirstPack<'a>(pub(crate) &'a Service);

impl fmt::Display for FirstPack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pack) = self.0.pack(0) else {
            return f.write_str("there is no memory for a first pack yet");
        };
        let place = place(pack.region.place());
        match pack.region.leaf() {
            Some(leaf) => write!(f, "the first pack: {leaf}, {place}"),
            None => write!(f, "the first pack: unknown leaf, {place}"),
        }
    }
}

/// The word for a place.
fn place(place: Place) -> &'static str {
    match place {
        Place::Near => "near",
        Place::Far => "far",
    }
}

/// What the service does with new images; what `control` takes.
pub(crate) fn mode(service: &Service) -> &'static str {
    if service.draining() {
        "drain"
    } else {
        "serve"
    }
}

/// What was counted since the module was loaded, and what there is now.
fn show_totals(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let stats = service.stats();
    let live = stats.tallies.live;
    // What is being written is not final yet, or was and will be again in a moment.
    let reserved = stats.tallies.unfinished();
    let dying = stats.tallies.dying();
    let counters = &service.counters;
    let refused = &counters.refused;
    let lines = [
        ("packs", stats.packs),
        ("empty packs", stats.empty_packs),
        ("pack bytes", stats.bytes()),
        ("mapped bytes", service.mapped_bytes()),
        // Code that the kernel writes in place, such as trampolines, is never finalized: it stays
        // reserved.
        ("images", live.plus(reserved).ranges),
        ("live images", live.ranges),
        ("live bytes", live.bytes()),
        ("reserved images", reserved.ranges),
        ("reserved bytes", reserved.bytes()),
        ("retired images", dying.ranges),
        ("retired bytes", dying.bytes()),
        ("free bytes", stats.free_bytes()),
        ("largest hole bytes", stats.largest_hole_bytes()),
        ("images served", counters.served.get()),
        ("images finalized", counters.finalized.get()),
        ("images freed", counters.freed.get()),
        ("writes into images", counters.written.get()),
        ("far attachments", counters.far_attached.get()),
        ("trimmed bytes", counters.trimmed.get()),
        ("all-CPU synchronisations", counters.synchronised.get()),
        ("images released by them", counters.released.get()),
        ("packs made", counters.regions_made.get()),
        ("packs given back", counters.regions_freed.get()),
        ("to the stock allocator, draining", refused.draining.get()),
        ("to the stock allocator, no memory", refused.no_memory.get()),
        ("to the stock allocator, size", refused.size.get()),
        ("to the stock allocator, leaving", refused.leaving.get()),
        (
            "to the stock allocator, dispatcher",
            refused.dispatcher.get(),
        ),
        (
            "to the stock allocator, predictor flush",
            refused.pred_flush.get(),
        ),
        ("poke windows", poke::WINDOWS.get()),
        ("most bytes through one", poke::MOST_WRITTEN.get()),
        ("bad calls", counters.misuse.get()),
        ("copy errors", counters.copy_errors.get()),
    ];
    writeln!(f, "mode: {}", mode(service))?;
    for (name, value) in lines {
        writeln!(f, "{name}: {value}")?;
    }
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    writeln!(
        f,
        "longest hold of the lock, ns: {}",
        crate::service::LONGEST_HOLD.get()
    )?;
    writeln!(f, "jit charged bytes: {}", service.kernel().jit_charged())
}

/// One line for each pack; the leaf is what the live page tables say.
fn show_packs(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // CAST: A small constant.
    for report in (0..MAX_PACKS as u32).filter_map(|slot| service.pack(slot)) {
        let region = &report.region;
        let start = region.address();
        let end = start.saturating_add(region.len());
        let stats = &report.stats;
        let live = stats.tallies.live;
        let reserved = stats.tallies.unfinished();
        write!(f, "pack {start:#018x}-{end:#018x}: ")?;
        match region.leaf() {
            Some(leaf) => write!(f, "{leaf}")?,
            None => write!(f, "unknown leaf")?,
        }
        let place = place(region.place());
        let alias = if region.alias_invalid() {
            "invalid"
        } else {
            "WRITABLE"
        };
        write!(f, ", {place}, linear alias {alias}")?;
        write!(f, ", {} images", live.plus(reserved).ranges)?;
        write!(f, ", bytes: {} live", live.bytes())?;
        write!(f, ", {} reserved", reserved.bytes())?;
        write!(f, ", {} retired", stats.tallies.dying().bytes())?;
        writeln!(f, ", {} free", stats.free_bytes())?;
    }
    Ok(())
}
