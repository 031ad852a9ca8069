// SPDX-License-Identifier: GPL-2.0

//! Counts the instructions for which a virtual CPU has interrupts masked.
//!
//! A *stretch* begins with the instruction that sets PSTATE.I (MSR DAIFSet, or MSR DAIF) and ends
//! with the one that clears it (MSR DAIFClr or MSR DAIF) or that returns from an exception (ERET).
//! Instructions from the first, exclusive, to the last, inclusive, count. An exception or interrupt
//! on the way discards the stretch, because its handler does not belong to the stretch. A CPU masks
//! interrupts itself when it takes an exception; this counts from the handler's own first masking.
//! A priority mask (pseudo-NMIs) is not seen.
//!
//! All times are values of the CPU's instruction counter.

/// The share of one CPU in one open region.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// When the region started.
    start: u64,
    /// The longest stretch since, as far as it lies in the region.
    longest: u64,
}

/// The stretches of one CPU.
#[derive(Clone, Debug, Default)]
pub struct IrqsOff {
    /// When the stretch under way began.
    since: Option<u64>,
    /// The open regions, innermost last.
    windows: Vec<Window>,
}

impl IrqsOff {
    /// Interrupts are masked now; they may have been before.
    pub fn mask(&mut self, now: u64) {
        self.since.get_or_insert(now);
    }

    /// Interrupts are not masked any more.
    pub fn unmask(&mut self, now: u64) {
        if let Some(since) = self.since.take() {
            for window in &mut self.windows {
                window.longest = window.longest.max(Self::inside(since, window, now));
            }
        }
    }

    /// An exception was taken.
    pub fn exception(&mut self) {
        self.since = None;
    }

    /// A region starts. `masked`: whether interrupts are masked, which is not known by itself as
    /// long as no region is open; a stretch that is under way counts from here.
    pub fn start(&mut self, now: u64, masked: bool) {
        if self.windows.is_empty() {
            self.since = masked.then_some(now);
        }
        self.windows.push(Window {
            start: now,
            longest: 0,
        });
    }

    /// The innermost region stops; returns its longest stretch. One that is under way counts up to
    /// here.
    pub fn stop(&mut self, now: u64) -> u64 {
        let Some(window) = self.windows.pop() else {
            return 0;
        };
        let current = self
            .since
            .map_or(0, |since| Self::inside(since, &window, now));
        window.longest.max(current)
    }

    /// The part of the stretch from `since` to `now` that lies in a region.
    fn inside(since: u64, window: &Window, now: u64) -> u64 {
        now.saturating_sub(since.max(window.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stretch_of_several() {
        let mut irqs = IrqsOff::default();
        irqs.start(100, false);
        for (masked, unmasked) in [(110, 115), (120, 150), (160, 161)] {
            irqs.mask(masked);
            irqs.unmask(unmasked);
        }
        assert_eq!(irqs.stop(200), 30);
    }

    #[test]
    fn masking_nests() {
        let mut irqs = IrqsOff::default();
        irqs.start(0, false);
        irqs.mask(10);
        irqs.mask(15);
        // An MSR that restores an inner, masked state does not unmask: the caller checks that.
        irqs.mask(18);
        irqs.unmask(30);
        irqs.unmask(90);
        assert_eq!(irqs.stop(100), 20);
    }

    #[test]
    fn an_exception_discards() {
        let mut irqs = IrqsOff::default();
        irqs.start(0, false);
        irqs.mask(10);
        irqs.exception();
        irqs.unmask(50);
        irqs.mask(60);
        irqs.unmask(63);
        assert_eq!(irqs.stop(100), 3);
    }

    #[test]
    fn a_region_that_starts_or_stops_masked_sees_its_own_part() {
        let mut irqs = IrqsOff::default();
        irqs.start(100, true);
        irqs.unmask(107);
        irqs.mask(120);
        assert_eq!(irqs.stop(140), 20);
        // No region was open, so a stretch that was noted then may be over.
        irqs.start(200, false);
        irqs.unmask(250);
        assert_eq!(irqs.stop(300), 0);
    }

    #[test]
    fn regions_nest() {
        let mut irqs = IrqsOff::default();
        irqs.start(0, false);
        irqs.mask(10);
        // Interrupts are masked, even if the caller could not read that.
        irqs.start(20, false);
        irqs.unmask(25);
        irqs.mask(30);
        assert_eq!(irqs.stop(32), 5);
        irqs.unmask(40);
        assert_eq!(irqs.stop(50), 15);
        assert_eq!(irqs.stop(60), 0);
    }
}
