// SPDX-License-Identifier: GPL-2.0

//! Copying images into place and making them executable on every CPU.

#![deny(unsafe_code)]

use super::answers::Outcome;
use super::books::claim::Claim;
use super::Service;
use crate::poke::Source;
use crate::trace;
use kernel::prelude::*;

impl Service {
    /// Copies `source` to the image that starts at `address` and makes it executable on every CPU.
    /// May sleep.
    ///
    /// The image keeps the first `used` bytes of its memory; the chunks after them become free.
    /// While this task is in a [`Load`](super::loads::Load), other CPUs may execute the image only
    /// after the end of that.
    ///
    /// Fails with `EINVAL` if no image of ours starts at `address` or a length is wrong; with
    /// `EBUSY` if the image was finalized before, another task is writing to it, or it was freed
    /// meanwhile; with `EFAULT` if `source` cannot be read. After `EFAULT` the image consists of
    /// traps and can only be freed.
    #[inline(always)]
    pub(crate) fn finalize(&self, address: usize, source: Source<'_>, used: usize) -> Outcome {
        let trimmed = &self.counters.trimmed_bytes;
        let claimed = self
            .books()
            .claim_reserved(address, source.len(), used, trimmed);
        // No closures here: the compiler would make calls of them.
        let finalized = match claimed {
            None => return Outcome::Foreign,
            Some(Ok(claim)) => self.copy_whole(claim, source),
            Some(Err(error)) => {
                self.report_bad_call("finalize", address, error);
                Err(error)
            }
        };
        match finalized {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Copies the first bytes of `source` to a claimed image, and makes it live now or at the end of
    /// this task's load.
    #[inline(always)]
    fn copy_whole(&self, claim: Claim, source: Source<'_>) -> Result {
        let bytes = claim.image_bytes();
        let claim = self.copy_claimed(claim, false, 0, source.first(bytes))?;
        match self.loads.defer(claim) {
            Ok(()) => Ok(()),
            Err(claim) => {
                self.synchronise();
                self.make_live(claim)
            }
        }
    }

    /// Writes to an image that the kernel makes in place, such as a trampoline. May sleep.
    ///
    /// Fails with `EINVAL` if the bytes are not all in one image of ours or not whole instructions;
    /// with `EBUSY` if another task is writing to that image, or it was freed meanwhile; with
    /// `EFAULT` if `source` cannot be read.
    pub(crate) fn write(&self, address: usize, source: Source<'_>) -> Outcome {
        let claimed = self.books().claim_in_place(address, source.len());
        self.outcome("write", address, claimed, |(claim, was_live)| {
            // Nobody finalizes such images: after the first write they are live.
            let offset = address.wrapping_sub(claim.address());
            let claim = self.copy_claimed(claim, was_live, offset, source)?;
            self.synchronise();
            let doomed = self.books().finalize(claim);
            self.kept(doomed)?;
            self.counters.images_written.inc();
            Ok(())
        })
    }

    /// Calls `work` with the claim, or reports that the books refused one. Returns the answer to
    /// the caller.
    fn outcome<T>(
        &self,
        what: &str,
        address: usize,
        claimed: Option<Result<T>>,
        work: impl FnOnce(T) -> Result,
    ) -> Outcome {
        let Some(claimed) = claimed else {
            return Outcome::Foreign;
        };
        let claimed = claimed.inspect_err(|error| self.report_bad_call(what, address, *error));
        match claimed.and_then(work) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Copies to `offset` in a claimed image, in which programs may run if it `was_live`. Other CPUs
    /// may have fetched what was there before.
    #[inline(always)]
    fn copy_claimed(
        &self,
        mut claim: Claim,
        was_live: bool,
        offset: usize,
        source: Source<'_>,
    ) -> Result<Claim> {
        let copied = claim
            .writable(self.kernel, offset, source.len())
            .and_then(|mut memory| memory.copy(source));
        match copied {
            Ok(()) => Ok(claim),
            Err(error) => {
                self.counters.copy_errors.inc();
                self.copy_failed(claim, was_live, source.len(), error);
                Err(error)
            }
        }
    }

    /// Ends the claim on an image after a copy of `len` bytes that failed.
    #[cold]
    #[inline(never)]
    fn copy_failed(&self, claim: Claim, was_live: bool, len: usize, error: Error) {
        pr_err!("copy of {} bytes failed: {:?}\n", len, error);
        self.abort_write(claim, was_live);
    }

    /// Ends the claim on a whole image that was copied, when all CPUs were synchronised after that.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it was freed meanwhile.
    #[inline(always)]
    pub(super) fn make_live(&self, claim: Claim) -> Result {
        let (address, bytes) = (claim.address(), claim.image_bytes());
        let mut books = self.books();
        let doomed = books.finalize(claim);
        if doomed.is_none() {
            books.counts.finalized = books.counts.finalized.wrapping_add(1);
        }
        drop(books);
        self.kept(doomed)?;
        trace::finalize(address, bytes);
        Ok(())
    }

    /// Fills an image with traps that was freed while this task wrote to it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it was.
    #[inline(always)]
    fn kept(&self, doomed: Option<Claim>) -> Result {
        doomed.map_or(Ok(()), |claim| {
            self.retire_doomed(claim);
            Err(EBUSY)
        })
    }

    /// Ends the claim on an image after a copy that failed.
    fn abort_write(&self, mut claim: Claim, was_live: bool) {
        let bytes = claim.image_bytes();
        let is_traps = !was_live
            && claim
                .writable(self.kernel, 0, bytes)
                .and_then(|mut memory| memory.fill_with_traps())
                .is_ok();
        // Programs may run in a live image, a part of which was written. The tail of a reserved one
        // can be trimmed later, and is free at once then.
        self.synchronise();
        let mut books = self.books();
        let doomed = if is_traps {
            books.abort_write(claim)
        } else {
            // Live, or with an unknown content: in neither may anybody trim the tail.
            books.finalize(claim)
        };
        drop(books);
        if let Some(claim) = doomed {
            self.retire_doomed(claim);
        }
    }
}
