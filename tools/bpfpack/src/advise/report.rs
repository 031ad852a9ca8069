// SPDX-License-Identifier: GPL-2.0

//! What `advise` says, in words and as JSON.

use super::linear::LinearMap;
use super::machine::{Kind, Machine};
use super::reckon::{self, Entries, Hot, Packs, Verdict, PACK, USUAL_L1};
use super::sample::Sample;
use crate::sources::module::Status;
use serde::Serialize;
use std::fmt;

/// The packs of the module, if it is loaded.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Whether it is loaded.
    pub loaded: bool,
    /// Start, end and bytes of a leaf of each pack.
    ranges: Vec<(u64, u64, u64)>,
}

impl Packed {
    /// Takes the packs from the module's status.
    pub fn of(status: Option<Status>) -> Self {
        let loaded = status.is_some();
        let packs = status.map_or_else(Vec::new, |status| status.packs);
        let ranges = packs
            .iter()
            // A leaf that is not known counts as a base page would: one entry for each.
            .map(|pack| (pack.start, pack.end, leaf_bytes(&pack.leaf).unwrap_or(0)))
            .collect();
        Self { loaded, ranges }
    }

    /// Bytes of the leaf that maps `address`; `None` if it is in no pack.
    pub fn leaf_at(&self, address: u64) -> Option<u64> {
        self.ranges
            .iter()
            .find(|(start, end, _)| (*start..*end).contains(&address))
            .map(|(_, _, leaf)| *leaf)
    }
}

/// Reads the size of a leaf such as `2 MiB block` or `64 KiB contiguous`.
fn leaf_bytes(leaf: &str) -> Option<u64> {
    let mut words = leaf.split(' ');
    let number: u64 = words.next()?.parse().ok()?;
    let shift = match words.next()? {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_shl(shift)
}

/// The verdict for one kind of CPU.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The kind of CPU.
    #[serde(flatten)]
    pub kind: Kind,
    /// Entries that the hot images take.
    pub entries: Entries,
    /// What that means on it.
    pub verdict: Verdict,
}

impl Judged {
    fn l1(&self) -> u32 {
        self.kind.tlb.map_or(USUAL_L1, |tlb| tlb.l1)
    }
}

/// All that `advise` found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// The best verdict of all kinds of CPU.
    pub verdict: Verdict,
    /// The verdict in words.
    pub summary: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's page size, bytes.
    pub page_bytes: u64,
    /// Whether the module is loaded.
    pub module_loaded: bool,
    /// Seconds for which runs were counted.
    pub sample_seconds: f64,
    /// Runs a second from which on a program is hot.
    pub hot_rate: f64,
    /// Programs that are loaded.
    pub programs: usize,
    /// Programs that ran at all.
    pub programs_run: usize,
    /// Programs that are hot.
    pub programs_hot: usize,
    /// Images of hot programs.
    pub images_hot: usize,
    /// Images of hot programs that are in packs already.
    pub images_hot_in_packs: usize,
    /// Packs that all programs would fill.
    pub packs_needed: u64,
    /// Each kind of CPU.
    pub cpus: Vec<Judged>,
    /// How the linear map is mapped.
    pub linear_map: LinearMap,
    /// What cannot be known from here, in sentences.
    pub not_known: Vec<String>,
}

impl Report {
    /// Judges the hot images `hot` for each kind of CPU of `machine`.
    pub fn new(
        machine: Machine,
        packed: Packed,
        linear_map: LinearMap,
        sample: &Sample,
        hot_rate: f64,
        hot: &[Hot],
        packs: Packs,
    ) -> Self {
        let page = machine.page_bytes;
        let not_known = not_known(&machine);
        let small_mappings = machine.small_mappings;
        let judged = machine.kinds.into_iter().map(|kind| {
            let largest = kind.tlb.and_then(|tlb| tlb.largest);
            let entries = reckon::entries(hot, packs, page, largest);
            let verdict = reckon::verdict(&entries, kind.tlb);
            Judged {
                kind,
                entries,
                verdict,
            }
        });
        let cpus: Vec<_> = judged.collect();
        let in_packs = hot
            .iter()
            .filter(|hot| packed.leaf_at(hot.address).is_some());
        let mut report = Self {
            version: 1,
            verdict: Verdict::Nothing,
            summary: String::new(),
            kernel: machine.kernel,
            page_bytes: page,
            module_loaded: packed.loaded,
            sample_seconds: sample.seconds,
            hot_rate,
            programs: sample.programs.len(),
            programs_run: sample.programs.iter().filter(|(_, runs)| *runs > 0).count(),
            programs_hot: sample.hot(hot_rate).count(),
            images_hot: hot.len(),
            images_hot_in_packs: in_packs.count(),
            packs_needed: packs.bytes.div_ceil(PACK),
            cpus,
            linear_map,
            not_known,
        };
        if let Some(best) = report.cpus.iter().max_by_key(|judged| judged.verdict) {
            report.verdict = best.verdict;
            report.summary = report.summarise(best, small_mappings);
        }
        report
    }

    /// Says the verdict in words.
    fn summarise(&self, best: &Judged, small_mappings: bool) -> String {
        let (entries, l1) = (best.entries, best.l1());
        let now = format!("the hot images take {} TLB entries now", entries.now);
        let then = match entries.packed_at_most {
            1 => "1 in packs".to_owned(),
            most => format!("{most} at most in packs"),
        };
        match best.verdict {
            Verdict::Nothing if self.images_hot == 0 => format!(
                "Nothing to gain: no program ran {} times a second or more.",
                self.hot_rate
            ),
            Verdict::Nothing if small_mappings => "Nothing to gain: this kernel was started with \
                                                   nohugevmalloc, and packs would be mapped by \
                                                   base pages, too."
                .to_owned(),
            Verdict::Nothing if self.images_hot_in_packs == self.images_hot => format!(
                "Nothing more to gain: the hot images are in packs, and take {} TLB {}.",
                entries.now,
                if entries.now == 1 { "entry" } else { "entries" }
            ),
            Verdict::Nothing => format!("Nothing to gain: {now}, and would take {then}."),
            Verdict::Little => format!(
                "Little to gain: {now}, and would take {then}. They leave more than half of the \
                 {l1} of the first level to everything else as it is."
            ),
            Verdict::Perhaps => format!(
                "Perhaps something to gain: {now}, of {l1} in the first level, which kernel and \
                 user code need, too. They would take {then}."
            ),
            Verdict::Something => format!(
                "Something to gain: {now}, more than the {l1} of the first level. They would take \
                 {then}."
            ),
            Verdict::Much => format!(
                "Something to gain, walks of the page tables too: {now}, more than the whole \
                 TLB has. They would take {then}."
            ),
        }
    }
}

/// Says what cannot be known from here.
fn not_known(machine: &Machine) -> Vec<String> {
    let mut notes = vec![
        "whether one CPU runs all hot programs: each CPU has a TLB of its own".to_owned(),
        "which pages of a hot program run: all of them are counted".to_owned(),
        "how often trampolines and classic filters (seccomp, sockets) run: they are not counted"
            .to_owned(),
        "how many entries kernel and user code need, and what a miss costs here".to_owned(),
        "whether this CPU keeps several neighbouring pages in one entry, as some do".to_owned(),
    ];
    for kind in &machine.kinds {
        let name = kind.label();
        match kind.tlb {
            None => notes.push(format!(
                "the TLB of {name}: {USUAL_L1} entries in the first level are assumed (--itlb)"
            )),
            Some(tlb) if tlb.largest.is_none() => notes.push(format!(
                "whether one first-level entry of {name} holds a whole pack: that is assumed"
            )),
            Some(_) => {}
        }
    }
    if machine.page_bytes > 4096 && !machine.small_mappings {
        notes.push(
            "whether this CPU follows the contiguous hint, by which a pack is one leaf here: that \
             is assumed"
                .to_owned(),
        );
    }
    notes
}

/// Columns of the report, if not the width in its format is less.
pub const WIDTH: usize = 79;
/// Columns of the headings.
const INDENT: usize = 12;

/// Writes a paragraph: its heading, and `text`, wrapped, beside it.
fn paragraph(out: &mut fmt::Formatter<'_>, heading: &str, text: &str) -> fmt::Result {
    wrapped(out, &format!("{heading:<INDENT$}"), INDENT, text)
}

/// Writes `first` and `text`; lines after the first are indented by `indent` columns.
fn wrapped(out: &mut fmt::Formatter<'_>, first: &str, indent: usize, text: &str) -> fmt::Result {
    let width = out.width().unwrap_or(WIDTH).min(WIDTH);
    let (mut line, mut empty) = (first.to_owned(), true);
    for word in text.split(' ') {
        if !empty && line.len() + 1 + word.len() > width {
            writeln!(out, "{line}")?;
            (line, empty) = (" ".repeat(indent), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        wrapped(out, "", 0, &self.summary)?;
        writeln!(out)?;
        for judged in &self.cpus {
            paragraph(out, "CPU", &judged.kind.to_string())?;
        }
        let module = if self.module_loaded {
            "loaded"
        } else {
            "not loaded"
        };
        let kernel = format!(
            "{}, pages of {} KiB; bpf_pack is {module}",
            self.kernel,
            self.page_bytes >> 10
        );
        paragraph(out, "Kernel", &kernel)?;
        let counted = format!(
            "{} programs for {:.1} s: {} ran, {} of them {} times a second or more",
            self.programs, self.sample_seconds, self.programs_run, self.programs_hot, self.hot_rate
        );
        paragraph(out, "Counted", &counted)?;
        self.hot(out)?;
        paragraph(out, "Linear map", &self.linear_map.sentence())?;
        for (number, note) in self.not_known.iter().enumerate() {
            let heading = if number == 0 { "Not known" } else { "" };
            wrapped(out, &format!("{heading:<INDENT$}- "), INDENT + 2, note)?;
        }
        paragraph(out, "Next", self.next())
    }
}

impl Report {
    /// Writes what the hot images take on each kind of CPU.
    fn hot(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.cpus.first().filter(|_| self.images_hot > 0) else {
            return Ok(());
        };
        let text = format!(
            "{} images, {} bytes on {} pages; {} of them are in packs",
            self.images_hot, first.entries.bytes, first.entries.pages, self.images_hot_in_packs
        );
        paragraph(out, "Hot", &text)?;
        for judged in &self.cpus {
            let text = format!(
                "{} TLB entries now, {} at most with all images in {} pack{} ({})",
                judged.entries.now,
                judged.entries.packed_at_most,
                self.packs_needed,
                if self.packs_needed == 1 { "" } else { "s" },
                judged.kind.label()
            );
            paragraph(out, "", &text)?;
        }
        Ok(())
    }

    /// Says what to do next.
    fn next(&self) -> &'static str {
        match (self.verdict, self.module_loaded) {
            (Verdict::Nothing, _) => {
                "If the machine was not at its usual work just now, ask again when it is \
                 (--seconds 60)."
            }
            (_, true) => {
                "These are counts of entries, no promise of time. \"bpfpack measure -- COMMAND\" \
                 counts TLB misses with and without packs. Programs that were loaded before the \
                 module stay where they are until they are loaded again."
            }
            (_, false) => {
                "These are counts of entries, no promise of time. With the module loaded, \
                 \"bpfpack measure -- COMMAND\" counts TLB misses with and without packs."
            }
        }
    }
}

impl Kind {
    /// Its name, or its number where the table has no name.
    pub fn label(&self) -> String {
        self.name
            .map_or_else(|| format!("CPU {:#x}", self.midr), str::to_owned)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} x {}", self.cpus, self.label())?;
        let Some(tlb) = self.tlb else {
            return write!(out, ", whose TLB the table of this tool does not have");
        };
        write!(out, ": {} entries for instructions", tlb.l1)?;
        if let Some(l2) = tlb.l2 {
            write!(out, ", {l2} in the second level")?;
        }
        write!(out, " ({})", tlb.source)
    }
}
