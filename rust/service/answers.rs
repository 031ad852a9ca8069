// SPDX-License-Identifier: GPL-2.0

//! What the service answers to those who call it.

#![deny(unsafe_code)]

use crate::region::Region;
use kernel::error::Error;
use kernel::sync::Arc;
use pack_core::PackStats;

/// Why the service did not serve an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `insmod` has not finished.
    Starting,
    /// `drain` was written to the control file.
    Draining,
    /// The module is being removed.
    Leaving,
    /// There is no memory, or no room for another pack.
    NoMemory,
    /// There are as many packs as there may be, and none has room.
    Full,
    /// The size is 0 or more than [`MAX_IMAGE`](crate::plan::MAX_IMAGE).
    Size,
}

/// The result of a call that concerns the image at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is an image of ours, and the call succeeded.
    Done,
    /// The address is in none of our packs.
    Foreign,
    /// The address is in one of our packs, and the call failed.
    Failed(Error),
}

/// One pack, for `status` and `images`.
pub(crate) struct PackReport {
    pub(crate) stats: PackStats,
    pub(crate) region: Arc<Region>,
}
