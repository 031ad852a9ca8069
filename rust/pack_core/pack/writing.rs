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
    #[inline(always)]
    pub(crate) fn begin_image(
        &mut self,
        chunk: ChunkIdx,
        keep: ChunkCount,
    ) -> Result<(ChunkRange, ChunkCount), Error> {
        let (found, tallies) = self.find_mut(chunk)?;
        let end = found.end;
        let stop = chunk.get().saturating_add(keep.get());
        if stop > end {
            return Err(Error::TooLarge);
        }
        let kept = ChunkRange::new(chunk, keep).ok_or(Error::Empty)?;
        if found.state != RangeState::Reserved {
            return Err(Error::WrongState(found.state));
        }
        let whole = ChunkCount::new(end.saturating_sub(chunk.get()));
        // INVARIANT: The tail becomes free. The first chunk is not part of it and has the new state.
        found.change(RangeState::Reserved, RangeState::Writing);
        tallies.remove(RangeState::Reserved, Tally::one(whole));
        tallies.add(RangeState::Writing, Tally::one(keep));
        self.give(stop, end);
        Ok((kept, ChunkCount::new(end.saturating_sub(stop))))
    }

    /// Reserved or Live → Writing. Returns the state before.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    pub(crate) fn begin_write(&mut self, range: ChunkRange) -> Result<RangeState, Error> {
        let (found, tallies) = self.find_mut(range.start())?;
        let state = found.state;
        match state {
            RangeState::Reserved | RangeState::Live if found.end == range.end().get() => {
                found.change(state, RangeState::Writing);
                tallies.step(state, RangeState::Writing, range.count());
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
        let (found, tallies) = self.find_mut(range.start())?;
        let same = found.end == range.end().get();
        match found.state {
            RangeState::Writing if same => {
                found.change(RangeState::Writing, kept);
                tallies.step(RangeState::Writing, kept, range.count());
                Ok(WriteEnd::Kept)
            }
            RangeState::Doomed if same => {
                found.change(RangeState::Doomed, RangeState::Retiring);
                tallies.step(RangeState::Doomed, RangeState::Retiring, range.count());
                Ok(WriteEnd::Doomed)
            }
            RangeState::Writing | RangeState::Doomed => Err(Error::WrongRange),
            state => Err(Error::WrongState(state)),
        }
    }
}
