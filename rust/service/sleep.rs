// SPDX-License-Identifier: GPL-2.0

//! The linear aliases of all packs while the system goes to sleep; see the other `sleep.rs`.

#![deny(unsafe_code)]

use super::held::Held;
use super::Service;
use crate::region::{
    self,
    Region, //
};
use kernel::prelude::*;

impl Service {
    /// Makes the linear aliases of all packs valid, until [`Service::hide_aliases`]. Runs with
    /// interrupts off on the only CPU that is online.
    ///
    /// # Errors
    ///
    /// `EBUSY` if a task was stopped while it had the books, or while it made or freed a region.
    /// All aliases are invalid then.
    pub(crate) fn expose_aliases(&self) -> Result {
        let books = Held::try_lock(&self.books).ok_or(EBUSY)?;
        let sealed = || books.regions().filter(|region| region.alias_invalid());
        if sealed().count() != region::count_invalid() {
            pr_err!("sleep: a pack is being made or freed\n");
            return Err(EBUSY);
        }
        let result = sealed().try_for_each(|region| region.expose_alias());
        if result.is_err() {
            hide(sealed());
        }
        result
    }

    /// Makes the linear aliases invalid again.
    pub(crate) fn hide_aliases(&self) {
        // The lock is free: nobody ran since it was taken in `expose_aliases`.
        if let Some(books) = Held::try_lock(&self.books) {
            hide(books.regions().filter(|region| region.alias_invalid()));
        }
    }
}

/// Hides the aliases of `regions`.
fn hide<'a>(regions: impl Iterator<Item = &'a Region>) {
    for region in regions {
        if let Err(error) = region.hide_alias() {
            pr_crit!(
                "sleep: {} bytes stay writable ({:?})\n",
                region.len(),
                error
            );
        }
    }
}
