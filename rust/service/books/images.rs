// SPDX-License-Identifier: GPL-2.0

//! Looking up images by address, and claiming and freeing them.

#![deny(unsafe_code)]

use super::claim::Claim;
use super::Books;
use crate::a64::INSN_SIZE;
use kernel::prelude::*;
use pack_core::{
    ChunkCount,
    ChunkIdx,
    ChunkRange,
    Error as Refused,
    PackId,
    RangeState,
    Taken,
    WriteEnd, //
};

/// An image that contains a given address.
struct Found {
    id: PackId,
    range: ChunkRange,
    state: RangeState,
    /// The offset of the address in the region, in bytes.
    offset: usize,
}

/// Who fills a freed image with traps.
pub(in crate::service) enum Freeing {
    /// The caller, by this claim.
    Now(Claim),
    /// The task that is writing to it, when its copy ends.
    Later,
}

impl Found {
    /// Whether the address is the first of the image.
    fn is_start(&self) -> bool {
        self.offset == self.range.start().byte_offset()
    }

    /// Whether `len` bytes from the address on are inside the image.
    fn holds(&self, len: usize) -> bool {
        let start = self.range.start().byte_offset();
        let end = start.saturating_add(self.range.count().bytes());
        self.offset.checked_add(len).is_some_and(|last| last <= end)
    }
}

/// Returns the claim that remains after a claim to write has ended.
fn after_write(claim: Claim, end: Result<WriteEnd, Refused>) -> Option<Claim> {
    match end {
        Ok(WriteEnd::Doomed) => Some(claim.doomed()),
        // An error cannot come: no other task can have ended the claim.
        Ok(WriteEnd::Kept) | Err(_) => None,
    }
}

impl Books {
    /// Looks up the image that `address` is in. [`None`] if the address is in no region.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the address is in a region but in none of its images.
    fn find(&self, address: usize) -> Option<Result<Found>> {
        let (slot, offset) = self.owners.find(address)?;
        let in_pack = || {
            let id = self.pool.id_of_slot(slot)?;
            let chunk = ChunkIdx::from_byte_offset(offset & !(pack_core::CHUNK_SIZE - 1))?;
            let (state, range) = self.pool.containing(id, chunk)?;
            Some(Found {
                id,
                range,
                state,
                offset,
            })
        };
        Some(in_pack().ok_or(EINVAL))
    }

    /// Claims `len` bytes from `found.offset` on. The caller has changed the state of the image.
    fn claim(&self, found: &Found, len: usize) -> Result<Claim> {
        // INVARIANT: The range has one of the three states because of the caller, which has checked
        // that it holds `len` bytes.
        Ok(Claim {
            id: found.id,
            range: found.range,
            region: self.region(found.id).ok_or(EINVAL)?.clone(),
            was: found.state,
            offset: found.offset,
            len,
        })
    }

    /// Frees what follows the first `used` bytes of the reserved image at `address` and claims the
    /// first `len` bytes of the rest. Also returns how many bytes became free.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the image was finalized or somebody is writing to it; `EINVAL` if no image starts
    /// there or a length is wrong.
    pub(in crate::service) fn claim_reserved(
        &mut self,
        address: usize,
        len: usize,
        used: usize,
    ) -> Option<Result<(Claim, usize)>> {
        let found = self.find(address)?;
        Some(found.and_then(|found| self.claim_found(found, len, used)))
    }

    fn claim_found(&mut self, mut found: Found, len: usize, used: usize) -> Result<(Claim, usize)> {
        let keep = ChunkCount::holding(used).map_err(|_| EINVAL)?;
        if used > len || len % INSN_SIZE != 0 || !found.is_start() || !found.holds(used) {
            return Err(EINVAL);
        }
        match found.state {
            RangeState::Reserved => {}
            RangeState::Writing | RangeState::Doomed | RangeState::Live => return Err(EBUSY),
            RangeState::Retiring | RangeState::Retired | RangeState::Syncing => return Err(EINVAL),
        }
        let was = found.range.count().bytes();
        if keep < found.range.count() {
            let range = self.pool.trim(found.id, found.range, keep);
            found.range = range.map_err(|_| EINVAL)?;
        }
        let kept = found.range.count().bytes();
        self.begin_write(&found)?;
        Ok((self.claim(&found, len.min(kept))?, was.saturating_sub(kept)))
    }

    /// Claims `len` bytes from `address` on, inside an image.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody is writing to that image; `EINVAL` if the bytes are not inside one
    /// image, or not whole instructions, or the image was freed.
    pub(in crate::service) fn claim_in_place(
        &mut self,
        address: usize,
        len: usize,
    ) -> Option<Result<Claim>> {
        let found = self.find(address)?;
        Some(found.and_then(|found| {
            let aligned = found.offset % INSN_SIZE == 0 && len % INSN_SIZE == 0;
            if !aligned || !found.holds(len) {
                return Err(EINVAL);
            }
            match found.state {
                RangeState::Reserved | RangeState::Live => {}
                RangeState::Writing | RangeState::Doomed => return Err(EBUSY),
                RangeState::Retiring | RangeState::Retired | RangeState::Syncing => {
                    return Err(EINVAL)
                }
            }
            self.begin_write(&found)?;
            self.claim(&found, len)
        }))
    }

    /// Makes the caller the only writer of an image.
    fn begin_write(&mut self, found: &Found) -> Result {
        let was = self.pool.begin_write(found.id, found.range);
        was.map(|_| ()).map_err(|_| EINVAL)
    }

    /// Ends a claim to write: the image is live. If it was freed meanwhile, this returns a claim of
    /// the whole image, for the caller to fill it with traps.
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
        let found = self.find(address)?;
        Some(found.and_then(|found| {
            if !found.is_start() {
                return Err(EINVAL);
            }
            match self.pool.begin_retire(found.id, found.range.start()) {
                Ok(Taken::Retiring(range)) => {
                    self.claim(&found, range.count().bytes()).map(Freeing::Now)
                }
                Ok(Taken::Doomed(_)) => Ok(Freeing::Later),
                Err(_) => Err(EINVAL),
            }
        }))
    }

    /// Notes that all of a freed image is traps. If it was the last image, this gives the reference
    /// to the module back and returns true.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the books have no such image. Its memory then stays out of use, which is safe.
    pub(in crate::service) fn retired(&mut self, claim: &Claim) -> Result<bool> {
        let retired = self.pool.retired(claim.id, claim.range);
        retired.map_err(|_| EINVAL)?;
        // INVARIANT: There is one range less, and `lease` holds the module only while there are
        // some. The module stays during this call, because the gate has counted it.
        self.images = self.images.saturating_sub(1);
        let last = self.images == 0;
        if last {
            self.lease = None;
        }
        Ok(last)
    }
}
