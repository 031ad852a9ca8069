// SPDX-License-Identifier: GPL-2.0

//! Regions: the parts of a run between a start and a stop marker, on all CPUs.

use crate::counters::{Snapshot, Tally};

/// Regions that may be open at once.
const DEPTH: usize = 16;

/// The open regions, innermost last.
#[derive(Debug, Default)]
pub struct Regions {
    /// Id and counters at the start.
    open: Vec<(u64, Snapshot)>,
    /// Markers that made no sense: a stop without a start, too many starts, a wrong range slot, one
    /// before anything is counted.
    errors: u64,
}

impl Regions {
    /// Opens region `id` at the counters `now`; false if too many are open.
    pub fn start(&mut self, id: u64, now: Snapshot) -> bool {
        if self.open.len() == DEPTH {
            self.errors += 1;
            return false;
        }
        self.open.push((id, now));
        true
    }

    /// Closes the innermost region at the counters `now`; returns its id and what it counted.
    pub fn stop(&mut self, mut now: Snapshot) -> Option<(u64, Snapshot)> {
        let Some((id, before)) = self.open.pop() else {
            self.errors += 1;
            return None;
        };
        now.sub(&before);
        Some((id, now))
    }

    /// Notes a marker that made no sense.
    pub fn error(&mut self) {
        self.errors += 1;
    }

    /// Markers that made no sense.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Regions that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot with `n` instructions.
    fn at(n: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.inline[0] = n;
        snapshot
    }

    #[test]
    fn regions_nest() {
        let mut regions = Regions::default();
        assert!(regions.start(1, at(10)));
        assert!(regions.start(2, at(15)));
        assert_eq!(regions.open(), 2);
        let (id, inner) = regions.stop(at(18)).expect("open");
        assert_eq!((id, inner.inline[0]), (2, 3));
        let (id, outer) = regions.stop(at(30)).expect("open");
        assert_eq!((id, outer.inline[0]), (1, 20));
        assert_eq!(regions.errors(), 0);
    }

    #[test]
    fn nonsense_is_counted() {
        let mut regions = Regions::default();
        assert!(regions.stop(at(1)).is_none());
        for id in 0..=DEPTH as u64 {
            assert_eq!(regions.start(id, at(0)), id < DEPTH as u64);
        }
        regions.error();
        assert_eq!((regions.errors(), regions.open()), (3, DEPTH));
        assert_eq!(regions.stop(at(1)).expect("open").0, DEPTH as u64 - 1);
    }
}
