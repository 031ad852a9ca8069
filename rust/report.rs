// SPDX-License-Identifier: GPL-2.0

//! The texts that the module shows: `status`, `images`, `control`, and the log line of a successful `insmod`.

#![deny(unsafe_code)]

use crate::plan::{
    Place,
    MAX_PACKS, //
};
use crate::poke;
use crate::service::{
    Group,
    PackReport,
    Service, //
};
use kernel::fmt;
use pack_core::RangeState;
use pagetable::Kind;

/// The text of `status`: `key: value` lines, then one line for each pack.
pub(crate) struct Status<'a>(pub(crate) &'a Service);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_totals(self.0, f)?;
        show_packs(self.0, f)
    }
}

/// The leaf and the place of the first pack, in words, if there is a first pack.
///
/// It has them itself: the kernel formats a log line with interrupts off.
pub(crate) struct FirstPack(Option<(Option<Kind>, Place)>);

impl FirstPack {
    /// Looks at the first pack. May sleep.
    pub(crate) fn of(service: &Service) -> Self {
        // CAST: There are few. A pack on a memory node has one of that node's slots.
        let pack = (0..MAX_PACKS as u32).find_map(|slot| service.pack(slot));
        Self(pack.map(|pack| (pack.region.leaf(), pack.region.place())))
    }
}

impl fmt::Display for FirstPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("there is no memory for a first pack yet"),
            Some((Some(leaf), at)) => write!(f, "the first pack: {leaf}, {}", place(at)),
            Some((None, at)) => write!(f, "the first pack: unknown leaf, {}", place(at)),
        }
    }
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Near => "near",
        Place::Far => "far",
    }
}

/// Returns what the service does with new images, as the word that `control` takes for it.
pub(crate) fn mode(service: &Service) -> &'static str {
    if service.draining() {
        "drain"
    } else {
        "serve"
    }
}

/// Writes the `key: value` lines.
fn show_totals(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let stats = service.stats();
    let tallies = &stats.tallies;
    // The kernel writes trampolines in place and never finalizes them: they stay reserved.
    let images = tallies.live.plus(tallies.unfinished());
    writeln!(f, "mode: {}", mode(service))?;
    let now = [
        ("packs", stats.packs),
        ("empty_packs", stats.empty_packs),
        ("pack_bytes", stats.bytes()),
        ("mapped_bytes", service.mapped_bytes()),
        ("free_bytes", stats.free_bytes()),
        ("largest_hole_bytes", stats.largest_hole_bytes()),
        ("images", images.ranges),
    ];
    show_lines(f, &now)?;
    for state in RangeState::ALL {
        let (name, tally) = (state.name(), tallies.of(state));
        writeln!(f, "{name}_images: {}", tally.ranges)?;
        writeln!(f, "{name}_bytes: {}", tally.bytes())?;
    }
    show_counters(service, f)?;
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    show_lines(
        f,
        &[("longest_hold_ns", crate::service::LONGEST_HOLD.get())],
    )?;
    writeln!(f, "jit_charged_bytes: {}", service.kernel().jit_charged())
}

fn show_counters(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (counts, counters) = (service.counts(), &service.counters);
    let refused = &counters.refused;
    let lines = [
        ("images_served", counts.served),
        ("images_finalized", counts.finalized),
        ("images_written", counters.images_written.get()),
        ("images_freed", counts.freed),
        ("images_released", counters.images_released.get()),
        ("far_attachments", counters.far_attachments.get()),
        ("trimmed_bytes", counters.trimmed_bytes.get()),
        ("synchronisations", service.synchronisations()),
        (
            "shared_synchronisations",
            counters.shared_synchronisations.get(),
        ),
        ("loads", counters.loads.get()),
        ("regions_made", counters.regions_made.get()),
        ("regions_freed", counters.regions_freed.get()),
        ("to_stock_draining", refused.draining.get()),
        ("to_stock_no_memory", refused.no_memory.get()),
        ("to_stock_full", refused.full.get()),
        ("to_stock_size", refused.size.get()),
        ("to_stock_leaving", refused.leaving.get()),
        ("to_stock_dispatcher", refused.dispatcher.get()),
        ("to_stock_predictor_flush", refused.predictor_flush.get()),
        ("poke_windows", poke::WINDOWS.get()),
        ("largest_poke_bytes", poke::LARGEST_POKE.get()),
        ("bad_calls", counters.bad_calls.get()),
        ("copy_errors", counters.copy_errors.get()),
    ];
    show_lines(f, &lines)
}

fn show_lines(f: &mut fmt::Formatter<'_>, lines: &[(&str, u64)]) -> fmt::Result {
    lines
        .iter()
        .try_for_each(|(key, value)| writeln!(f, "{key}: {value}"))
}

/// Writes one line for each pack.
fn show_packs(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // CAST: A constant of 512.
    let mut packs = (0..MAX_PACKS as u32).filter_map(|slot| service.pack(slot));
    packs.try_for_each(|pack| show_pack(&pack, f))
}

/// Writes the line of a pack, with the leaf that the live page tables show.
fn show_pack(pack: &PackReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let region = &pack.region;
    let start = region.address();
    let end = start.saturating_add(region.len());
    let stats = &pack.stats;
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
    writeln!(f, ", {} free", stats.free_bytes())
}

/// The text of a part of `images`: the line of a pack, if it begins here, and a line for each image.
pub(crate) struct Images<'a>(pub(crate) &'a Group);

impl fmt::Display for Images<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pack) = &self.0.pack {
            show_pack(pack, f)?;
        }
        self.0.images().iter().try_for_each(|image| {
            let (address, state) = (image.address, image.state.name());
            writeln!(f, "image {address:#018x} {} {state}", image.bytes)
        })
    }
}
