// SPDX-License-Identifier: GPL-2.0

//! Looking up images by address, and claiming and freeing them.

#![deny(unsafe_code)]

use super::claim::Claim;
use super::Books;
use crate::a64::INSN_SIZE;
use crate::counters::Counter;
use kernel::prelude::*;
use pack_core::{
    ChunkCount,
    ChunkIdx,
    Error as Refused,
    PackId,
    RangeState,
    Taken,
    WriteEnd,
    CHUNK_SIZE, //
};

/// Who fills a freed image with traps.
pub(in crate::service) enum Freeing {
    /// The caller, by this claim.
    Now(Claim),
    /// The task that is writing to it, when its copy ends.
    Later,
}

/// What has to be done when an image was retired.
pub(in crate::service) struct Retired {
    /// Somebody waits for the last image, and this was it.
    pub(in crate::service) wake: bool,
    /// The background has to free its memory, and does not know that yet.
    pub(in crate::service) tidy: bool,
}

/// Returns the claim that remains after a claim to write has ended.
fn after_write(claim: Claim, end: Result<WriteEnd, Refused>) -> Option<Claim> {
    match end {
        Ok(WriteEnd::Doomed) => Some(claim),
        // An error cannot come: no other task can have ended the claim.
        Ok(WriteEnd::Kept) | Err(_) => None,
    }
}

/// Returns the error for an image in a state that allows no claim to write.
fn refusal(state: RangeState) -> Error {
    match state {
        RangeState::Reserved | RangeState::Writing | RangeState::Doomed | RangeState::Live => EBUSY,
        RangeState::Retiring | RangeState::Retired | RangeState::Syncing => EINVAL,
    }
}

impl Books {
    /// Looks up the pack and the chunk that `address` is in, and the offset in the chunk. [`None`]
    /// if the address is in no region.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the address is in a region but not in its pack.
    #[inline]
    fn chunk_at(&mut self, address: usize) -> Option<Result<(PackId, ChunkIdx, usize)>> {
        let (slot, offset) = self.owners.find(address)?;
        let id = self.pool.id_of_slot(slot);
        let found = id.zip(ChunkIdx::from_byte_offset(offset));
        let in_chunk = offset % CHUNK_SIZE;
        Some(found.map(|(id, chunk)| (id, chunk, in_chunk)).ok_or(EINVAL))
    }

    /// As [`Self::chunk_at`], for the address of an image.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no image can start there.
    #[inline]
    fn start_at(&mut self, address: usize) -> Option<Result<(PackId, ChunkIdx)>> {
        let found = self.chunk_at(address)?;
        Some(found.and_then(|(id, chunk, in_chunk)| match in_chunk {
            0 => Ok((id, chunk)),
            _ => Err(EINVAL),
        }))
    }

    /// Frees what follows the first `used` bytes of the reserved image at `address` and claims the
    /// rest, for a copy of `len` bytes or less. Adds the number of bytes that became free to
    /// `trimmed`.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the image was finalized or somebody is writing to it; `EINVAL` if no image starts
    /// there, it has fewer bytes or a length is wrong.
    #[inline(always)]
    pub(in crate::service) fn claim_reserved(
        &mut self,
        address: usize,
        len: usize,
        used: usize,
        trimmed: &Counter,
    ) -> Option<Result<Claim>> {
        Some(match self.start_at(address)? {
            Ok((id, chunk)) => self.claim_first(id, chunk, len, used, trimmed),
            Err(error) => Err(error),
        })
    }

    /// As [`Self::claim_reserved`], for the image that starts at `chunk` of a pack.
    #[inline(always)]
    fn claim_first(
        &mut self,
        id: PackId,
        chunk: ChunkIdx,
        len: usize,
        used: usize,
        trimmed: &Counter,
    ) -> Result<Claim> {
        let keep = ChunkCount::holding(used).map_err(|_| EINVAL)?;
        if used > len || len % INSN_SIZE != 0 {
            return Err(EINVAL);
        }
        match self.pool.begin_image(id, chunk, keep) {
            Ok((range, freed)) => {
                if freed.get() != 0 {
                    trimmed.add(freed.bytes() as u64);
                }
                self.claim(id, range)
            }
            Err(Refused::WrongState(state)) => Err(refusal(state)),
            Err(_) => Err(EINVAL),
        }
    }

    /// Claims the image that `address` is in. Also returns whether it was live.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody is writing to that image; `EINVAL` if the `len` bytes from there on are
    /// not inside one image, or not whole instructions, or the image was freed.
    pub(in crate::service) fn claim_in_place(
        &mut self,
        address: usize,
        len: usize,
    ) -> Option<Result<(Claim, bool)>> {
        let found = self.chunk_at(address)?;
        Some(found.and_then(|(id, chunk, in_chunk)| {
            let (_, range) = self.pool.containing(id, chunk).ok_or(EINVAL)?;
            let before = chunk
                .byte_offset()
                .wrapping_sub(range.start().byte_offset());
            let last = before.saturating_add(in_chunk).checked_add(len);
            let inside = last.is_some_and(|last| last <= range.count().bytes());
            if !inside || in_chunk % INSN_SIZE != 0 || len % INSN_SIZE != 0 {
                return Err(EINVAL);
            }
            match self.pool.begin_write(id, range) {
                Ok(was) => Ok((self.claim(id, range)?, was == RangeState::Live)),
                Err(Refused::WrongState(state)) => Err(refusal(state)),
                Err(_) => Err(EINVAL),
            }
        }))
    }

    /// Ends a claim to write: the image is live. If it was freed meanwhile, this returns a claim of
    /// the whole image, for the caller to fill it with traps.
    #[inline(always)]
    pub(in crate::service) fn finalize(&mut self, claim: Claim) -> Option<Claim> {
        let end = self.pool.finalize(claim.id, claim.range);
        after_write(claim, end)
    }

    /// Ends a claim to write after a copy that failed: the image is reserved again. If it was freed
    /// meanwhile, this returns a claim of the whole image, for the caller to fill it with traps.
    pub(in crate::service) fn abort_write(&mut self, claim: Claim) -> Option<Claim> {
        let end = self.pool.abort_write(claim.id, claim.range);
        after_write(claim, end)
    }

    /// Frees the image that starts at `address`: the caller, or the task that writes to the image,
    /// has to fill it with traps.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no image starts there, or it was freed before.
    pub(in crate::service) fn begin_retire(&mut self, address: usize) -> Option<Result<Freeing>> {
        let found = self.start_at(address)?;
        Some(found.and_then(|(id, chunk)| {
            match self.pool.begin_retire(id, chunk).map_err(|_| EINVAL)? {
                Taken::Retiring(range) => self.claim(id, range).map(Freeing::Now),
                Taken::Doomed(_) => Ok(Freeing::Later),
            }
        }))
    }

    /// Notes that all of a freed image is traps. If it was the last image, this gives the reference
    /// to the module back.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the books have no such image. Its memory then stays out of use, which is safe.
    #[inline(always)]
    pub(in crate::service) fn retired(&mut self, claim: Claim) -> Result<Retired> {
        let retired = self.pool.retired(claim.id, claim.range);
        retired.map_err(|_| EINVAL)?;
        // INVARIANT: There is one range less, and `lease` holds the module only while there are
        // some. The module stays during this call, because the gate has counted it.
        self.images = self.images.saturating_sub(1);
        self.counts.freed = self.counts.freed.wrapping_add(1);
        let last = self.images == 0;
        if last {
            self.lease = None;
        }
        Ok(Retired {
            wake: last && core::mem::take(&mut self.awaited),
            tidy: !core::mem::replace(&mut self.tidying, true),
        })
    }
}
