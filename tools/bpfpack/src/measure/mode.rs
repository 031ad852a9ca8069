// SPDX-License-Identifier: GPL-2.0

//! The module's mode, which is put back when the measurement ends, however it ends.

use crate::context::Context;
use crate::output;
use crate::sources::module::{self, Status, FOLDER};
use anyhow::{bail, Context as _, Result};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Where new images go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// To the stock allocator.
    Stock,
    /// Into packs.
    Packs,
}

impl Side {
    /// The word for `control`.
    fn word(self) -> &'static str {
        match self {
            Self::Stock => "drain",
            Self::Packs => "serve",
        }
    }

    /// The name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Packs => "packs",
        }
    }
}

/// The right to change the mode. Puts back the mode that it found when it is dropped.
pub struct Mode {
    control: PathBuf,
    found: Side,
    now: Side,
}

impl Mode {
    /// Finds out the mode.
    ///
    /// # Errors
    ///
    /// If the module is not loaded, or we may not change its mode.
    pub fn hold(context: &Context) -> Result<Self> {
        let Some(status) = module::status(context)? else {
            bail!(
                "bpf_pack is not loaded, so that there is nothing to compare: load it, or count \
                 without a comparison (--as-is)"
            );
        };
        let found = if status.serves() {
            Side::Packs
        } else {
            Side::Stock
        };
        Ok(Self {
            control: context.path(format!("{FOLDER}/control")),
            found,
            now: found,
        })
    }

    /// The mode that was found.
    pub fn found(&self) -> Side {
        self.found
    }

    /// Sends new images to `side`.
    ///
    /// # Errors
    ///
    /// Those of writing to `control`.
    pub fn set(&mut self, side: Side) -> Result<()> {
        if self.now == side {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).open(&self.control);
        file.and_then(|mut file| file.write_all(side.word().as_bytes()))
            .with_context(|| format!("{} to {}", side.word(), self.control.display()))?;
        self.now = side;
        Ok(())
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        if let Err(error) = self.set(self.found) {
            output::say(format_args!(
                "the module's mode could not be put back: {error:#}; write \"{}\" to {}",
                self.found.word(),
                self.control.display()
            ));
        }
    }
}

/// Images that were made so far: by the module, and by the stock allocator because of `drain`.
pub fn images(status: &Status) -> (u64, u64) {
    let (served, drained) = ("images_served", "to_stock_draining");
    (status.value(served), status.value(drained))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn loaded(name: &str, mode: &str) -> Folder {
        let folder = Folder::new(name);
        folder.write("sys/module/bpf_pack/initstate", "live\n");
        folder.write(
            &format!("{FOLDER}/status"),
            &format!("mode: {mode}\nimages_served: 3\n"),
        );
        folder.write(&format!("{FOLDER}/control"), "-----");
        folder
    }

    #[test]
    fn the_mode_is_put_back() {
        for (mode, other) in [("serve", Side::Stock), ("drain", Side::Packs)] {
            let folder = loaded(mode, mode);
            let control = || folder.read(&format!("{FOLDER}/control"));
            let mut held = Mode::hold(&folder.context()).expect("it is loaded");
            held.set(held.found()).expect("nothing to do");
            assert_eq!(control(), "-----", "a mode that is set is not written");
            held.set(other).expect("a file");
            assert_eq!(control(), other.word());
            drop(held);
            assert_eq!(control(), mode);
        }
    }

    #[test]
    fn without_the_module_there_is_nothing_to_compare() {
        let error = Mode::hold(&Folder::new("unloaded").context()).err();
        let error = error.expect("it is not loaded").to_string();
        assert!(
            error.contains("not loaded") && error.contains("--as-is"),
            "{error}"
        );
    }
}
