// SPDX-License-Identifier: GPL-2.0

//! Writing: copies images into place and makes them executable on every CPU.

#![deny(unsafe_code)]

use super::answers::Outcome;
use super::books::claim::Claim;
use super::Service;
use crate::poke::Source;
use crate::trace;
use kernel::prelude::*;

impl Service {
    /// Copies `source` to the image that starts at `address` and makes it executable on every CPU.
    ///
    /// Of what was reserved, `used` bytes are kept; the rest goes back to the pack. May sleep.
    ///
    /// Fails with `EINVAL` if no image of ours starts at `address`, or a length is wrong; `EBUSY` if
    /// the image was finalized before, somebody is doing that, or it was freed meanwhile; `EFAULT` if
    /// `source` cannot be read: the image then holds traps again, and can only be freed.
    pub(crate) fn finalize(&self, address: usize, source: Source<'_>, used: usize) -> Outcome {
        let claimed = self.books().claim_reserved(address, source.len(), used);
        self.outcome("finalize", address, claimed, |(claim, trimmed)| {
            self.counters.trimmed_bytes.add(trimmed as u64);
            let bytes = claim.image_bytes();
            self.write_claimed(claim, source.first(bytes))?;
            self.counters.images_finalized.inc();
            trace::finalize(address, bytes);
            Ok(())
        })
    }

    /// Writes into an image that is being made in place, such as a trampoline. May sleep.
    ///
    /// Fails with `EINVAL` if the bytes are not inside one image of ours or not 4-byte aligned;
    /// `EBUSY` if somebody is writing to that image, or it was freed meanwhile; `EFAULT` if `source`
    /// cannot be read.
    pub(crate) fn write(&self, address: usize, source: Source<'_>) -> Outcome {
        let claimed = self.books().claim_in_place(address, source.len());
        self.outcome("write", address, claimed, |claim| {
            // There is no finalize for these: the first write is it.
            self.write_claimed(claim, source)?;
            self.counters.images_written.inc();
            Ok(())
        })
    }

    /// What to answer to a call: does `work` with what was claimed, and reports a claim that was
    /// refused.
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

    /// Copies to an image that was claimed, has every CPU see it and ends the claim.
    fn write_claimed(&self, mut claim: Claim, source: Source<'_>) -> Result {
        let copied = claim
            .writable(self.kernel)
            .and_then(|mut memory| memory.copy(source));
        if let Err(error) = copied {
            self.counters.copy_errors.inc();
            pr_err!("copy of {} bytes failed: {:?}\n", source.len(), error);
            self.abort_write(claim);
            return Err(error);
        }
        self.synchronise();
        let doomed = self.books().finalize(claim);
        doomed.map_or(Ok(()), |claim| {
            self.retire(claim);
            Err(EBUSY)
        })
    }

    /// Ends the claim on an image after a copy that failed.
    fn abort_write(&self, mut claim: Claim) {
        let doomed = if claim.was_live() {
            // Programs may run there, and the tail of a reserved image can be given back.
            self.books().finalize(claim)
        } else {
            let filled = claim
                .writable(self.kernel)
                .and_then(|mut memory| memory.fill_with_traps());
            match filled {
                Ok(()) => self.books().abort_write(claim),
                // Nor can the tail of an image that holds who knows what.
                Err(_) => self.books().finalize(claim),
            }
        };
        if let Some(claim) = doomed {
            self.retire(claim);
        }
    }
}
