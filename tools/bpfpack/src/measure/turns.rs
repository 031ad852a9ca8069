// SPDX-License-Identifier: GPL-2.0

//! The order of the turns, and what their counts say: medians, spread and ratio. Pure.

use super::counting::Counts;
use super::mode::Side;
use super::pmu::Event;
use serde::Serialize;

/// The sides of `turns` turns each: in pairs that begin with the other side in turn, so that a
/// machine that slowly changes does so for both.
pub fn order(turns: u32) -> Vec<Side> {
    let pair = |turn| {
        if turn % 2 == 0 {
            [Side::Stock, Side::Packs]
        } else {
            [Side::Packs, Side::Stock]
        }
    };
    (0..turns).flat_map(pair).collect()
}

/// The counts of one event on one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median of all turns.
    pub median: f64,
    /// The smallest count.
    pub min: f64,
    /// The largest count.
    pub max: f64,
}

impl Spread {
    /// Returns the spread of `counts`: `None` if there are none.
    pub fn of(counts: &[f64]) -> Option<Self> {
        let mut counts = counts.to_vec();
        counts.sort_by(f64::total_cmp);
        let middle = counts.len() / 2;
        let upper = *counts.get(middle)?;
        let lower = counts[(counts.len() - 1) / 2];
        Some(Self {
            median: (lower + upper) / 2.0,
            min: counts[0],
            max: counts[counts.len() - 1],
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// One event, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The event.
    pub event: Event,
    /// With images of the stock allocator.
    pub stock: Spread,
    /// With images in packs.
    pub packs: Spread,
    /// The median in packs by the median of the stock allocator; `None` if that is 0.
    pub ratio: Option<f64>,
    /// Whether a turn of one side is within the turns of the other: then the ratio may be chance.
    pub overlap: bool,
}

/// Compares the turns, event by event.
pub fn compare(turns: &[(Side, Counts)]) -> Vec<Compared> {
    let of = |side, event| {
        let turns = turns.iter().filter(|(of, _)| *of == side);
        let counts: Vec<_> = turns
            .filter_map(|(_, counts)| counts.events.get(&event).copied())
            .collect();
        Spread::of(&counts)
    };
    let compared = Event::ALL.into_iter().filter_map(|event| {
        let (stock, packs) = (of(Side::Stock, event)?, of(Side::Packs, event)?);
        Some(Compared {
            event,
            stock,
            packs,
            ratio: (stock.median > 0.0).then(|| packs.median / stock.median),
            overlap: stock.overlaps(&packs),
        })
    });
    compared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn sides_alternate_and_take_turns_in_being_first() {
        use Side::{Packs, Stock};
        assert_eq!(order(3), [Stock, Packs, Packs, Stock, Stock, Packs]);
        assert_eq!(order(0), []);
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let median = |counts: &[f64]| Spread::of(counts).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 6.0]), Some(5.0));
        let spread = Spread::of(&[9.0, 1.0, 4.0]).expect("there are some");
        assert_eq!((spread.min, spread.max), (1.0, 9.0));
    }

    fn turn(side: Side, refills: f64) -> (Side, Counts) {
        let events = BTreeMap::from([(Event::L1iTlbRefill, refills)]);
        let scaled = false;
        (side, Counts { events, scaled })
    }

    #[test]
    fn ratio_and_overlap_are_those_of_the_sides() {
        let apart = [
            turn(Side::Stock, 100.0),
            turn(Side::Packs, 50.0),
            turn(Side::Packs, 40.0),
            turn(Side::Stock, 80.0),
        ];
        let compared = compare(&apart);
        assert_eq!(
            compared.len(),
            1,
            "events that were not counted are left out"
        );
        assert_eq!(compared[0].ratio, Some(0.5));
        assert!(!compared[0].overlap);
        let within = [turn(Side::Stock, 100.0), turn(Side::Packs, 100.0)];
        assert!(compare(&within)[0].overlap);
    }

    #[test]
    fn nothing_by_nothing_has_no_ratio() {
        let none = [turn(Side::Stock, 0.0), turn(Side::Packs, 0.0)];
        assert_eq!(compare(&none)[0].ratio, None);
    }

    #[test]
    fn one_side_alone_is_no_comparison() {
        assert_eq!(compare(&[turn(Side::Stock, 1.0)]), []);
    }
}
