// SPDX-License-Identifier: GPL-2.0

//! What `measure` says, in words and as JSON.

use super::counting::Counts;
use super::mode::Side;
use super::pmu::{Event, Pmu};
use super::turns::{self, Compared, Spread};
use crate::output::number;
use serde::Serialize;
use std::fmt;

/// Turns of a side from which on their spread says something.
const ENOUGH: usize = 3;

/// One turn.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    /// Where new images went; `None` if the module's mode was left alone.
    pub side: Option<Side>,
    /// Images that packs got in this turn, also those of others.
    pub images_to_packs: u64,
    /// Images that the stock allocator got because of `drain`, also those of others.
    pub images_to_stock: u64,
    /// What was counted.
    #[serde(serialize_with = "events")]
    pub counts: Counts,
}

fn events<S: serde::Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
    counts.events.serialize(serializer)
}

/// All that `measure` found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// The command.
    pub command: Vec<String>,
    /// Whether all CPUs were counted while it ran, and not only the command.
    pub all_cpus: bool,
    /// The performance monitors.
    pub pmus: Vec<Pmu>,
    /// The turns, in their order.
    pub turns: Vec<Turn>,
    /// The events, compared. Empty without a comparison.
    pub compared: Vec<Compared>,
    /// The events without a comparison.
    pub counted: Vec<Counted>,
    /// What to know of these figures, in sentences.
    pub notes: Vec<String>,
}

/// One event, without a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counted {
    /// The event.
    pub event: Event,
    /// Its counts.
    #[serde(flatten)]
    pub spread: Spread,
}

impl Report {
    /// Sums the turns up.
    pub fn new(command: Vec<String>, all_cpus: bool, pmus: Vec<Pmu>, turns: Vec<Turn>) -> Self {
        let sided = turns
            .iter()
            .filter_map(|turn| Some((turn.side?, turn.counts.clone())));
        let sided: Vec<_> = sided.collect();
        let compared = turns::compare(&sided);
        let counted = if sided.is_empty() {
            counted(&turns)
        } else {
            Vec::new()
        };
        let mut report = Self {
            version: 1,
            command,
            all_cpus,
            pmus,
            turns,
            compared,
            counted,
            notes: Vec::new(),
        };
        report.notes = report.notes();
        report
    }

    fn of(&self, side: Side) -> impl Iterator<Item = &Turn> {
        self.turns
            .iter()
            .filter(move |turn| turn.side == Some(side))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = lacks(&self.pmus);
        let to = |side, count: fn(&Turn) -> u64| self.of(side).map(count).min();
        let packs = to(Side::Packs, |turn| turn.images_to_packs);
        let stock = to(Side::Stock, |turn| turn.images_to_stock);
        if packs == Some(0) || stock == Some(0) {
            notes.push(
                "In some turns no image was made at all, so that the sides do not differ there: \
                 images that are live stay where they are. COMMAND has to load the programs that \
                 it runs, or to restart the service that does."
                    .to_owned(),
            );
        }
        if self.turns.iter().any(|turn| turn.counts.scaled) {
            notes.push(
                "Somebody else used counters, too: these counts are of a part of the time and \
                 scaled up."
                    .to_owned(),
            );
        }
        let few = [Side::Stock, Side::Packs].map(|side| self.of(side).count());
        if !self.compared.is_empty() && few.iter().any(|turns| *turns < ENOUGH) {
            notes.push(format!(
                "With less than {ENOUGH} turns a side, nobody can tell a difference from chance \
                 (--turns)."
            ));
        } else if self.compared.iter().any(|compared| compared.overlap) {
            notes.push(
                "Where turns overlap, the ratio may be chance: more turns (--turns) tell more."
                    .to_owned(),
            );
        }
        if !self.all_cpus {
            notes.push(
                "Counted are COMMAND and its descendants. Programs that run in interrupts or for \
                 other tasks count with --all-cpus only."
                    .to_owned(),
            );
        }
        notes
    }
}

fn counted(turns: &[Turn]) -> Vec<Counted> {
    let of = |event| {
        let counts = turns
            .iter()
            .filter_map(|turn| turn.counts.events.get(&event).copied());
        let spread = Spread::of(&counts.collect::<Vec<_>>())?;
        Some(Counted { event, spread })
    };
    Event::ALL.into_iter().filter_map(of).collect()
}

/// Says what the monitors cannot count.
fn lacks(pmus: &[Pmu]) -> Vec<String> {
    let lacking = pmus.iter().filter(|pmu| !pmu.lacks.is_empty());
    lacking
        .map(|pmu| {
            let events = pmu.lacks.iter();
            let events = events.map(|event| format!("{} ({:#04x})", event.name(), event.code()));
            let no_tlb = !pmu.has.iter().any(|event| event.is_tlb());
            format!(
                "{} has no event {}.{}",
                pmu.name,
                events.collect::<Vec<_>>().join(", "),
                if no_tlb {
                    " It cannot tell TLB misses: what is counted here says nothing about the TLB."
                } else {
                    ""
                }
            )
        })
        .collect()
}

/// A count, rounded.
fn whole(count: f64) -> String {
    // CAST: Counts are not negative, and less than 2^64.
    number(count.round() as u64)
}

fn spread(spread: &Spread) -> String {
    format!("{} to {}", whole(spread.min), whole(spread.max))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.all_cpus {
            "all CPUs meanwhile"
        } else {
            "the command"
        };
        let turns = match self.turns.len() {
            1 => "1 turn".to_owned(),
            turns => format!("{turns} turns"),
        };
        writeln!(
            out,
            "{turns} of: {}; counted: {what}",
            self.command.join(" ")
        )?;
        writeln!(out)?;
        if !self.compared.is_empty() {
            let row = |out: &mut fmt::Formatter<'_>, cells: [&str; 5]| {
                let [event, side, median, spread, ratio] = cells;
                let line = format!("{event:<15} {side:<6} {median:>18}  {spread:<38} {ratio}");
                writeln!(out, "{}", line.trim_end())
            };
            row(out, ["event", "images", "median", "turns", "packs/stock"])?;
            for compared in &self.compared {
                let ratio = compared
                    .ratio
                    .map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
                let ratio = format!(
                    "{ratio}{}",
                    if compared.overlap {
                        " (turns overlap)"
                    } else {
                        ""
                    }
                );
                let (stock, packs) = (&compared.stock, &compared.packs);
                let name = compared.event.name();
                row(
                    out,
                    [name, "stock", &whole(stock.median), &spread(stock), ""],
                )?;
                row(
                    out,
                    ["", "packs", &whole(packs.median), &spread(packs), &ratio],
                )?;
            }
        }
        for counted in &self.counted {
            let (name, median) = (counted.event.name(), whole(counted.spread.median));
            writeln!(out, "{name:<15} {median:>18}  {}", spread(&counted.spread))?;
        }
        if !self.notes.is_empty() {
            writeln!(out)?;
        }
        self.notes
            .iter()
            .try_for_each(|note| writeln!(out, "Note: {note}"))
    }
}
