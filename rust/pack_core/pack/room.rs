// SPDX-License-Identifier: GPL-2.0

//! Finding room, and setting it aside for the next images (`fresh.rs`).

use core::ops::DerefMut;
use core::ops::Range;

use super::parts;
use super::parts::GROUP;
use super::Pack;
use super::Users;
use crate::bitmap;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::Rank;
use crate::recent::Hole;
use crate::state::RangeState;
use crate::stats::Tally;

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Makes the index know of all chunks.
    pub(super) fn refresh(&mut self) {
        let fresh = core::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return;
        }
        if fresh.room() > 0 {
            self.parts_mut()
                .refresh(fresh.start(), fresh.stop(), Fresh::default());
        }
        self.note_bound();
    }

    /// Returns how many chunks come before `chunk`, in the order from the origin on.
    #[inline]
    fn order(&self, chunk: u32) -> u32 {
        match chunk.checked_sub(self.origin) {
            Some(order) => order,
            None => chunk.saturating_add(self.chunks.get().saturating_sub(self.origin)),
        }
    }

    /// Notes that the chunks from `start` up to `end` became free, which are not of the fresh run.
    fn others_freed(&mut self, start: u32, end: u32) {
        let around_origin = start < self.origin && self.origin < end;
        if around_origin || self.order(start) < self.order(self.fresh.start()) {
            self.fresh.forget();
        }
        self.settle();
        self.note_bound();
    }

    /// Gives the fresh run up if a hole before it goes on in it.
    pub(super) fn settle(&mut self) {
        let fresh = self.fresh;
        let before = fresh.start().checked_sub(1);
        if fresh.start() == fresh.end()
            && fresh.start() != self.origin
            && before.is_some_and(|before| self.is_free(before, 1))
        {
            self.refresh();
        }
    }

    /// Returns the lowest run of `count` chunks that the index counts as free, of those not before
    /// `from`. O(log words).
    #[inline]
    fn first_fit_from(&self, from: u32, count: u32) -> Option<u32> {
        match from {
            0 => self.runs().first_fit(count),
            _ => self.runs().first_fit_from(from, count),
        }
    }

    /// As [`Self::first_fit_from`], for a run that starts at a multiple of `align`.
    ///
    /// O(log words) for an alignment of 1, otherwise O(log words) for each hole that is looked at.
    fn aligned_fit_from(&self, from: u32, count: u32, align: u32) -> Option<u32> {
        let mut start = self.first_fit_from(from, count)?;
        loop {
            let aligned = start.checked_next_multiple_of(align)?;
            if aligned == start {
                return Some(start);
            }
            start = self.first_fit_from(aligned, count)?;
        }
    }

    /// As [`Self::aligned_fit_from`], or before `from` if there is none.
    fn fit(&self, from: u32, count: u32, align: u32) -> Option<u32> {
        match self.aligned_fit_from(from, count, align) {
            None if from != 0 => self.aligned_fit_from(0, count, align),
            found => found,
        }
    }

    /// Tells whether `count` chunks from `start` on are free. O(chunks/64).
    #[inline]
    pub(super) fn is_free(&self, start: u32, count: u32) -> bool {
        let groups = parts::groups(&self.storage, self.chunks);
        bitmap::is_clear::<GROUP>(groups, start, start.saturating_add(count))
    }

    /// Takes `count` chunks behind the image that came last, if nothing fits before. Returns the first
    /// of them.
    fn take_next(&mut self, count: u32) -> Option<u32> {
        let start = self.fresh.take(count)?;
        self.parts_mut()
            .fill_used(start, start.saturating_add(count), true);
        Some(start)
    }

    /// Takes `count` chunks behind the image that came last, if they are free but go beyond the
    /// fresh run, and nothing fits before. Returns the first of them.
    ///
    /// O(words of these chunks and of a run + log of the pack), or O(words) as [`Self::find_bound`].
    fn take_beyond(&mut self, count: u32) -> Option<u32> {
        let fresh = self.fresh;
        if fresh.is_empty() || count < fresh.least() {
            return None;
        }
        let start = fresh.end();
        let image = start..start.checked_add(count)?;
        let stop = self.free_behind(&image, fresh.stop())?;
        // The index keeps what it knows of the old run, which counts as used: all of it is now.
        self.take_with_room(image, fresh.stop(), stop, fresh.least());
        Some(start)
    }

    /// Returns where the free chunks end that a run could have behind an image, whose own ones are
    /// known to be free up to `known`. Returns [`None`] if others of them are not, or if they go
    /// over the origin.
    fn free_behind(&self, image: &Range<u32>, known: u32) -> Option<u32> {
        // Chunks from the origin on come before all others: a run does not go over that.
        let limit = if image.start < self.origin {
            self.origin
        } else {
            self.chunks.get()
        };
        let most = Fresh::most(image, self.chunks).min(limit);
        let groups = parts::groups(&self.storage, self.chunks);
        let stop = bitmap::clear_until::<GROUP>(groups, known, most);
        (stop >= image.end).then_some(stop)
    }

    /// Takes the free chunks of an image, and sets those behind it aside, up to `stop`. An image of
    /// `least` chunks does not fit before it. The index counts the image's chunks before `known` as
    /// used already, and those from there on as free.
    fn take_with_room(&mut self, image: Range<u32>, known: u32, stop: u32, least: u32) {
        // INVARIANT: The chunks behind the image are free up to `stop`, and from here on its own are
        // used. The index counts both as used.
        self.fresh = Fresh::behind(&image, stop, least, self.chunks);
        let fresh = self.fresh;
        let mut parts = self.parts_mut();
        parts.fill_used(image.start, image.end, true);
        parts.refresh(known, stop, fresh);
        self.note_bound();
    }

    /// Takes `count` chunks at the first place from the origin on. Returns that.
    #[inline(never)]
    fn take_first(&mut self, count: u32) -> Option<u32> {
        let next = self.take_next(count).or_else(|| self.take_beyond(count));
        if next.is_some() {
            return next;
        }
        let mut found = self.fit(self.origin, count, 1);
        let fresh = self.fresh;
        if !fresh.is_empty()
            && found.is_none_or(|start| self.order(start) > self.order(fresh.start()))
        {
            if count < fresh.least() {
                self.fresh.note(count);
                let next = self.take_next(count).or_else(|| self.take_beyond(count));
                if next.is_some() {
                    return next;
                }
            }
            let before_origin = fresh.start() < self.origin || fresh.end() == self.origin;
            if before_origin && fresh.room() > 0 {
                // The hole of the run's free chunks may go over the origin, and be long enough.
                self.refresh();
                found = self.fit(self.origin, count, 1);
            }
        }
        let start = found?;
        let image = start..start.saturating_add(count);
        match self.free_behind(&image, image.end) {
            Some(stop) if stop > image.end => {
                self.refresh();
                self.take_with_room(image, start, stop, count);
            }
            _ => self.take(image.start, image.end),
        }
        Some(start)
    }

    /// Marks the chunks from `start` up to but not including `end` as used, which are not fresh.
    fn take(&mut self, start: u32, end: u32) {
        let fresh = self.fresh;
        self.parts_mut().set_used(start, end, true, fresh);
        self.note_bound();
    }

    /// Marks the chunks from `start` up to but not including `end` as free, the end of a range.
    #[inline]
    pub(super) fn give(&mut self, start: u32, end: u32) {
        if start >= end {
            return;
        }
        if end == self.fresh.end() && start >= self.fresh.start() {
            // INVARIANT: They were the last used ones.
            self.fresh.shrink(start);
            self.parts_mut().fill_used(start, end, false);
        } else {
            self.give_others(start, end);
        }
    }

    /// As [`Self::give`], for chunks that are not the last used ones of the fresh run.
    #[inline(never)]
    fn give_others(&mut self, start: u32, end: u32) {
        if self.fresh.overlaps(start, end) {
            self.refresh();
        }
        let fresh = self.fresh;
        self.parts_mut().set_used(start, end, false, fresh);
        self.others_freed(start, end);
    }

    /// Free → Reserved, for chunks behind the image that came last, if nothing fits before.
    /// O(chunks/64).
    #[inline(always)]
    pub(crate) fn reserve_next(&mut self, count: ChunkCount) -> Option<ChunkRange> {
        let start = self.fresh.take(count.get())?;
        let range = ChunkRange::new(ChunkIdx::new(start), count)?;
        parts::reserve(&mut self.storage, start, count.get());
        self.reserved(count);
        Some(range)
    }

    /// Free → Reserved, for the first `count` chunks of `hole`, if the pack has the rank `rank` and
    /// takes images, and `hole` is one that the index knows of. O(log of the pack).
    ///
    /// # Errors
    ///
    /// [`Error::NeedPack`] otherwise.
    pub(crate) fn reserve_hole(
        &mut self,
        rank: Rank,
        hole: Hole,
        count: ChunkCount,
    ) -> Result<ChunkRange, Error> {
        let range = ChunkRange::new(ChunkIdx::new(hole.start), count);
        let serves = self.rank == rank && self.users == Users::Many && count.get() <= hole.count;
        let range = range.filter(|_| serves && self.is_hole(hole));
        let range = range.ok_or(Error::NeedPack(count))?;
        // INVARIANT: The chunks were free. They become one range, which is counted and has its
        // state at its first chunk.
        self.take(hole.start, range.end().get());
        parts::set_state(&mut self.storage, range.start().get(), RangeState::Reserved);
        self.reserved(count);
        Ok(range)
    }

    /// Tells whether `hole` is a run of free chunks between used ones, outside of the fresh run.
    fn is_hole(&self, hole: Hole) -> bool {
        let end = hole.start.saturating_add(hole.count);
        let before = hole.start.checked_sub(1);
        // Bits beyond the last chunk are used.
        self.is_free(hole.start, hole.count)
            && !self.is_free(end, 1)
            && !before.is_some_and(|before| self.is_free(before, 1))
            && !self.fresh.overlaps(hole.start, end)
    }

    /// Counts a range that was reserved.
    #[inline]
    fn reserved(&mut self, count: ChunkCount) {
        self.tallies.add(RangeState::Reserved, Tally::one(count));
        self.empty_for = 0;
    }

    /// Free → Reserved, for the first `count` chunks from the origin on; if `align` is not 1 or
    /// `from` is given, for the lowest ones not before `from`, or the origin, that start at a
    /// multiple of `align`, or before that.
    ///
    /// # Errors
    ///
    /// [`Error::NeedPack`] if nothing fits.
    pub(crate) fn reserve(
        &mut self,
        count: ChunkCount,
        align: ChunkCount,
        from: Option<u32>,
    ) -> Result<ChunkRange, Error> {
        if self.users == Users::Nobody {
            return Err(Error::NeedPack(count));
        }
        let start = if align == ChunkCount::ONE && from.is_none() {
            self.take_first(count.get())
        } else {
            self.refresh();
            let from = from.map_or(self.origin, |from| self.within(from));
            let found = self.fit(from, count.get(), align.get());
            found.inspect(|start| self.take(*start, start.saturating_add(count.get())))
        };
        let range = start.and_then(|start| ChunkRange::new(ChunkIdx::new(start), count));
        let range = range.ok_or_else(|| {
            // The bound of the holes is exact now: nobody asks in vain again.
            self.refresh();
            Error::NeedPack(count)
        })?;
        // INVARIANT: The chunks were free. They become one range, which is counted and has its
        // state at its first chunk.
        parts::set_state(&mut self.storage, range.start().get(), RangeState::Reserved);
        self.reserved(count);
        if self.users == Users::One {
            self.refresh();
            self.users = Users::Nobody;
            self.note_bound();
        }
        Ok(range)
    }
}
