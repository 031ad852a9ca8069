// SPDX-License-Identifier: GPL-2.0

//! The steps of the task that writes to a range.

use core::ops::DerefMut;

use super::Pack;
use crate::error::Error;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::state::RangeState;
use crate::state::WriteEnd;
use crate::stats::Tally;

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Reserved → Writing, for the first `keep` chunks of the range that starts at `chunk`. The
    /// others become free. Returns what is left of the range, and the number of the others.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::Empty`] for `keep` 0, [`Error::TooLarge`] for more than
    /// there is, [`Error::WrongState`], in this order.
    #[inline]
    pub(crate) fn begin_image(
        &mut self,
        chunk: ChunkIdx,
        keep: ChunkCount,
    ) -> Result<(ChunkRange, ChunkCount), Error> {
        let (state, range) = self.find(chunk).ok_or(Error::NotAllocated)?;
        if keep > range.count() {
            return Err(Error::TooLarge);
        }
        let kept = ChunkRange::new(chunk, keep).ok_or(Error::Empty)?;
        if state != RangeState::Reserved {
            return Err(Error::WrongState(state));
        }
        // INVARIANT: The tail becomes free. The first chunk is not part of it and has the new state.
        self.give(kept.end().get(), range.end().get());
        self.set_state(kept, RangeState::Writing);
        self.tallies
            .remove(RangeState::Reserved, Tally::one(range.count()));
        self.tallies.add(RangeState::Writing, Tally::one(keep));
        let freed = range.count().get().saturating_sub(keep.get());
        Ok((kept, ChunkCount::new(freed)))
    }

    /// Reserved or Live → Writing. Returns the state before.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    pub(crate) fn begin_write(&mut self, range: ChunkRange) -> Result<RangeState, Error> {
        let (state, found) = self.find(range.start()).ok_or(Error::NotAllocated)?;
        match state {
            RangeState::Reserved | RangeState::Live if found == range => {
                self.change(range, state, RangeState::Writing);
                Ok(state)
            }
            RangeState::Reserved | RangeState::Live => Err(Error::WrongRange),
            RangeState::Writing
            | RangeState::Doomed
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => Err(Error::WrongState(state)),
        }
    }

    /// Writing → Live, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// Those of [`Pack::end_write`].
    pub(crate) fn finalize(&mut self, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.end_write(range, RangeState::Live)
    }

    /// Writing → Reserved, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// Those of [`Pack::end_write`].
    pub(crate) fn abort_write(&mut self, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.end_write(range, RangeState::Reserved)
    }

    /// Writing → `kept`, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    #[inline(always)]
    fn end_write(&mut self, range: ChunkRange, kept: RangeState) -> Result<WriteEnd, Error> {
        let (state, found) = self.find(range.start()).ok_or(Error::NotAllocated)?;
        if !matches!(state, RangeState::Writing | RangeState::Doomed) {
            return Err(Error::WrongState(state));
        }
        if found != range {
            return Err(Error::WrongRange);
        }
        if state == RangeState::Writing {
            self.change(range, RangeState::Writing, kept);
            Ok(WriteEnd::Kept)
        } else {
            self.change(range, RangeState::Doomed, RangeState::Retiring);
            Ok(WriteEnd::Doomed)
        }
    }
}
