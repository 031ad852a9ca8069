// SPDX-License-Identifier: GPL-2.0

//! The steps of the task that writes to a range.

use core::ops::DerefMut;

use super::Pack;
use crate::error::Error;
use crate::geometry::ChunkRange;
use crate::state::RangeState;
use crate::state::WriteEnd;

impl<S: DerefMut<Target = [u64]>> Pack<S> {
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
    fn end_write(&mut self, range: ChunkRange, kept: RangeState) -> Result<WriteEnd, Error> {
        let (state, found) = self.find(range.start()).ok_or(Error::NotAllocated)?;
        let (to, end) = match state {
            RangeState::Writing => (kept, WriteEnd::Kept),
            RangeState::Doomed => (RangeState::Retiring, WriteEnd::Doomed),
            RangeState::Reserved
            | RangeState::Live
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => return Err(Error::WrongState(state)),
        };
        if found != range {
            return Err(Error::WrongRange);
        }
        self.change(range, state, to);
        Ok(end)
    }
}
