// SPDX-License-Identifier: GPL-2.0

//! The steps by which a freed range becomes free chunks.

use core::ops::DerefMut;

use super::parts::Group;
use super::Pack;
use crate::bitmap;
use crate::bitmap::Span;
use crate::bitmap::WORD_BITS;
use crate::error::Error;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::runs;
use crate::state::RangeState;
use crate::state::Taken;
use crate::stats::Tally;

/// A slice takes no range that starts so many words behind the first word that it changes, because it
/// computes all nodes of the index between again.
pub(crate) const WORDS_PER_SLICE: usize = 64;

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Live or Reserved → Retiring, or Writing → Doomed.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`] if no range starts there, [`Error::WrongState`] if it was freed
    /// before.
    pub(crate) fn begin_retire(&mut self, chunk: ChunkIdx) -> Result<Taken, Error> {
        let (found, tallies) = self.find_mut(chunk)?;
        let state = found.state;
        // A range is never empty.
        let range = ChunkRange::between(chunk.get(), found.end).ok_or(Error::NotAllocated)?;
        match state {
            RangeState::Live | RangeState::Reserved => {
                found.change(state, RangeState::Retiring);
                tallies.step(state, RangeState::Retiring, range.count());
                Ok(Taken::Retiring(range))
            }
            RangeState::Writing => {
                found.change(state, RangeState::Doomed);
                tallies.step(state, RangeState::Doomed, range.count());
                Ok(Taken::Doomed(range))
            }
            RangeState::Doomed
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => Err(Error::WrongState(state)),
        }
    }

    /// Retiring → Retired.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    #[inline]
    pub(crate) fn retired(&mut self, range: ChunkRange) -> Result<(), Error> {
        let (found, tallies) = self.find_mut(range.start())?;
        if found.state != RangeState::Retiring {
            return Err(Error::WrongState(found.state));
        }
        if found.end != range.end().get() {
            return Err(Error::WrongRange);
        }
        found.change(RangeState::Retiring, RangeState::Retired);
        tallies.step(RangeState::Retiring, RangeState::Retired, range.count());
        // INVARIANT: The span grows by the word in which the range starts.
        self.retired = self.retired.and(Span::of_bit(range.start().get()));
        Ok(())
    }

    /// Retired → Syncing, for all retired ranges. O(words between the first and the last of them).
    pub(crate) fn begin_sync(&mut self) -> Tally {
        let span = core::mem::take(&mut self.retired);
        // INVARIANT: All ranges of the first span are syncing now, and the second covers them.
        self.syncing = self.syncing.and(span);
        let parts = self.parts_mut();
        for index in span.words() {
            let Some(mut group) = Group::read(parts.groups, index) else {
                break;
            };
            let retired = group.a & !group.b & group.c;
            group.a &= !retired;
            group.b |= retired;
            group.write(parts.groups, index);
        }
        let begun = self.tallies.of(RangeState::Retired);
        self.tallies.remove(RangeState::Retired, begun);
        self.tallies.add(RangeState::Syncing, begun);
        begun
    }

    /// Syncing → Free, for the lowest `at_most` syncing ranges, or for fewer but at least one, if they
    /// are far from each other. O(words up to the end of the last of them).
    ///
    /// It looks at each word once, however many ranges start there, and updates the index once. It
    /// tells `note` the start and the length of each short hole that this makes.
    pub(crate) fn release(&mut self, at_most: u32, mut note: impl FnMut(u32, u32)) -> Tally {
        let fresh = self.fresh;
        let span = self.syncing;
        let first = span.words().start;
        let last_chunk = self.chunks.get().saturating_sub(1);
        let parts = self.parts_mut();
        let mut released = Tally::default();
        let mut left = at_most;
        // The first word in which a syncing range may be left.
        let mut rest = first;
        let mut touched: Option<(usize, usize)> = None;
        // The fresh chunks that become free.
        let mut of_fresh = 0u32;
        // Whether a range that becomes free continues in the next word.
        let mut open = false;
        for index in first..usize::MAX {
            let wide =
                touched.is_some_and(|(first, _)| index.saturating_sub(first) >= WORDS_PER_SLICE);
            let most = if wide { 0 } else { left };
            if !open && (most == 0 || !span.covers(index)) {
                break;
            }
            let Some(mut group) = Group::read(parts.groups, index) else {
                break;
            };
            let syncing = !group.a & group.b & group.c;
            if syncing == 0 && !open {
                rest = index.saturating_add(1);
                continue;
            }
            let starts = bitmap::lowest(syncing, most);
            // Used chunks that are not the first of their range, without the bits beyond the pack.
            let mut inner = group.used & !group.starts();
            if index == bitmap::word_of(last_chunk) {
                inner &= bitmap::up_to_bit(last_chunk);
            }
            let (freed, goes_on) = bitmap::follow(starts, inner, open);
            // INVARIANT: Whole ranges become free, and the planes are 0 at their first chunks: A
            // was 0 for a syncing range.
            group.b &= !starts;
            group.c &= !starts;
            group.used &= !freed;
            group.write(parts.groups, index);
            open = goes_on;
            visit_holes(parts.groups, index, group.used, freed, &mut note);
            left = left.saturating_sub(starts.count_ones());
            rest = if starts == syncing {
                index.saturating_add(1)
            } else {
                index
            };
            let fresh_freed = (freed & fresh.in_word(index)).count_ones();
            of_fresh = of_fresh.saturating_add(fresh_freed);
            if freed != 0 {
                touched = Some((touched.map_or(index, |(first, _)| first), index));
            }
            released = released.plus(Tally {
                ranges: u64::from(starts.count_ones()),
                chunks: u64::from(freed.count_ones()),
            });
        }
        if let Some((first, last)) = touched {
            runs::refresh(parts.groups, parts.tree, fresh, first, last);
        }
        if of_fresh > 0 {
            let end = fresh.end().saturating_sub(of_fresh);
            // INVARIANT: If these were the last used ones of the fresh run, the others are still
            // used. Otherwise the run is given up, and the index learns of what was freed in it.
            self.fresh.shrink(end);
            if !self.is_free(end, of_fresh) {
                self.refresh();
            }
        }
        if released.chunks > u64::from(of_fresh) {
            self.fresh.forget();
        }
        self.settle();
        self.note_bound();
        // INVARIANT: The syncing ranges that are left start in the rest of the span.
        self.tallies.remove(RangeState::Syncing, released);
        self.syncing = if self.tallies.of(RangeState::Syncing).ranges == 0 {
            Span::default()
        } else {
            span.from(rest)
        };
        released
    }
}

/// Tells `note` the start and the length of each hole that has one of the chunks `freed` of the word
/// at `index`, of which `word` says what is used, unless it has a whole word. If the range of the
/// last chunk goes on in the next word, the hole is left to that word.
fn visit_holes(
    groups: &[u64],
    index: usize,
    word: u64,
    mut freed: u64,
    note: &mut impl FnMut(u32, u32),
) {
    let group = |index: Option<usize>| index.and_then(|index| Group::read(groups, index));
    let used = |group: Option<Group>| group.map_or(u64::MAX, |group| group.used);
    if word == 0 {
        return;
    }
    let first = bitmap::first_bit_of(index);
    while freed != 0 {
        let from = bitmap::from_bit(freed.trailing_zeros());
        let (below, above) = (word & !from, word & from);
        let before = match below.checked_ilog2() {
            Some(last) => Some(first.wrapping_add(last).wrapping_add(1)),
            None => match used(group(index.checked_sub(1))) {
                0 => None,
                word => Some(first.wrapping_sub(word.leading_zeros())),
            },
        };
        let behind = match above {
            0 => {
                let next = group(index.checked_add(1));
                if next.is_some_and(|next| next.used & !next.starts() & 1 != 0) {
                    return;
                }
                match used(next) {
                    0 => None,
                    word => Some(WORD_BITS.wrapping_add(word.trailing_zeros())),
                }
            }
            _ => Some(above.trailing_zeros()),
        };
        if let (Some(start), Some(end)) = (before, behind) {
            note(start, first.wrapping_add(end).wrapping_sub(start));
        }
        freed = match above {
            0 => 0,
            _ => freed & bitmap::from_bit(above.trailing_zeros()),
        };
    }
}
