// SPDX-License-Identifier: GPL-2.0

//! What tests of several subcommands share.

use crate::context::Context;
use std::fs;
use std::path::PathBuf;

/// A folder with files of a machine, which goes away with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("bpfpack-test-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            json: false,
            color: false,
            columns: None,
            root: self.0.clone(),
        }
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self
            .context()
            .path(format!("/{}", file.trim_start_matches('/')));
        fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
        fs::write(path, text).expect("a temporary file");
    }

    pub(crate) fn read(&self, file: &str) -> String {
        self.context().read(file).expect("a file of the test")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
