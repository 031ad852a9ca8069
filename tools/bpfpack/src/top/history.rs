// SPDX-License-Identifier: GPL-2.0

//! What was seen at the last looks, and what changed between two of them.

use crate::output::percent;
use crate::sources::module::Status;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Instant;

/// How many looks are kept.
const KEPT: usize = 240;

/// One look at the module.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When it was.
    pub(super) at: Instant,
    /// What was seen; `None` if the module was not loaded.
    pub(super) status: Option<Status>,
}

/// The last looks.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    last: Option<Sample>,
    /// Rates, the newest last.
    rates: VecDeque<Rates>,
}

/// What happened between two looks, and what is so now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// The version of this format.
    pub(super) version: u32,
    /// Whether the module is loaded.
    pub(super) loaded: bool,
    /// Images that got memory, a second.
    pub(super) loads: f64,
    /// Images that were freed, a second.
    pub(super) frees: f64,
    /// Synchronisations of all CPUs, a second.
    pub(super) synchronisations: f64,
    /// Requests that the stock allocator served instead, a second.
    pub(super) to_stock: f64,
    /// Images now.
    pub(super) images: u64,
    /// Packs now.
    pub(super) packs: u64,
    /// Used bytes of all packs, in percent.
    pub(super) occupancy_percent: f64,
    /// Free bytes that are not in the largest hole, in percent.
    pub(super) fragmentation_percent: f64,
}

impl History {
    /// Adds a look.
    pub(super) fn add(&mut self, sample: Sample) {
        let rates = between(self.last.as_ref(), &sample);
        if self.rates.len() == KEPT {
            self.rates.pop_front();
        }
        self.rates.push_back(rates);
        self.last = Some(sample);
    }

    /// The newest rates.
    pub(super) fn rates(&self) -> Rates {
        self.rates.back().cloned().unwrap_or_default()
    }

    /// The newest status.
    pub(super) fn status(&self) -> Option<&Status> {
        self.last.as_ref()?.status.as_ref()
    }

    /// The newest `length` values of a rate, rounded up, the newest last.
    pub(super) fn course(&self, length: usize, pick: fn(&Rates) -> f64) -> Vec<u64> {
        let skip = self.rates.len().saturating_sub(length);
        let kept = self.rates.iter().skip(skip);
        // CAST: A rate is not negative; a fraction counts as something.
        kept.map(|rates| pick(rates).ceil() as u64).collect()
    }
}

/// Computes what happened between two looks. A module that was loaded anew has counted from 0.
fn between(before: Option<&Sample>, now: &Sample) -> Rates {
    let Some(status) = &now.status else {
        return Rates {
            version: 1,
            ..Rates::default()
        };
    };
    let old = before.and_then(|before| before.status.as_ref());
    let seconds = before.map_or(0.0, |before| (now.at - before.at).as_secs_f64());
    let rate = |of: &dyn Fn(&Status) -> u64| match old {
        Some(old) if seconds > 0.0 && of(status) >= of(old) => {
            // CAST: Counts of events; what floating point rounds off does not matter.
            (of(status) - of(old)) as f64 / seconds
        }
        _ => 0.0,
    };
    let free = status.value("free_bytes");
    let size = status.value("pack_bytes");
    Rates {
        version: 1,
        loaded: true,
        loads: rate(&|status| status.value("images_served")),
        frees: rate(&|status| status.value("images_freed")),
        synchronisations: rate(&|status| status.value("synchronisations")),
        to_stock: rate(&|status| status.refusals().values().sum()),
        images: status.value("images"),
        packs: status.value("packs"),
        occupancy_percent: percent(size.saturating_sub(free), size),
        fragmentation_percent: percent(
            free.saturating_sub(status.value("largest_hole_bytes")),
            free,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(start: Instant, seconds: u64, text: &str) -> Sample {
        Sample {
            at: start + Duration::from_secs(seconds),
            status: Some(Status::parse(text).expect("well formed")),
        }
    }

    #[test]
    fn rates_are_by_second() {
        let start = Instant::now();
        let mut history = History::default();
        history.add(sample(start, 0, "mode: serve\nimages_served: 100\n"));
        assert_eq!(history.rates().loads, 0.0);
        let text = "mode: serve\nimages_served: 110\nimages_freed: 4\nto_stock_size: 2\n\
                    pack_bytes: 1000\nfree_bytes: 800\nlargest_hole_bytes: 600\n";
        history.add(sample(start, 2, text));
        let rates = history.rates();
        assert_eq!((rates.loads, rates.frees, rates.to_stock), (5.0, 2.0, 1.0));
        assert_eq!(rates.occupancy_percent, 20.0);
        assert_eq!(rates.fragmentation_percent, 25.0);
        assert_eq!(history.course(10, |rates| rates.loads), [0, 5]);
        assert_eq!(history.course(1, |rates| rates.loads), [5]);
    }

    #[test]
    fn a_module_that_goes_and_comes_gives_no_nonsense() {
        let start = Instant::now();
        let mut history = History::default();
        history.add(sample(start, 0, "mode: serve\nimages_served: 100\n"));
        history.add(Sample {
            at: start + Duration::from_secs(1),
            status: None,
        });
        assert!(!history.rates().loaded);
        history.add(sample(start, 2, "mode: serve\nimages_served: 3\n"));
        assert_eq!(history.rates().loads, 0.0);
        // Removed and inserted between two looks.
        history.add(sample(start, 3, "mode: serve\nimages_served: 1\n"));
        assert_eq!(history.rates().loads, 0.0);
        for second in 4..500 {
            history.add(sample(start, second, "mode: serve\n"));
        }
        assert_eq!(history.course(1000, |rates| rates.loads).len(), KEPT);
    }
}
