// SPDX-License-Identifier: GPL-2.0

//! What every subcommand is given: how to print, and where the kernel's files are.

use anyhow::{Context as _, Result};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a subcommand prints, and what it reads.
#[derive(Clone, Debug)]
pub struct Context {
    /// Print JSON instead of text.
    pub json: bool,
    /// Use colours: standard output is a terminal and `NO_COLOR` is not set, or the user said so.
    pub color: bool,
    /// The columns of the terminal, if standard output is one.
    pub columns: Option<usize>,
    /// The folder that stands for `/`; another one than `/` holds recorded files.
    pub root: PathBuf,
}

impl Context {
    /// Returns where the file `path`, which is absolute, is below the root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether this is the running machine and no recording.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Reads a text file of the kernel.
    ///
    /// # Errors
    ///
    /// Those of reading; where the file may not be read, the error names the privilege.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = path.as_ref();
        explain(fs::read(self.path(path)), path).map(|bytes| String::from_utf8_lossy(&bytes).into())
    }

    /// Reads a text file that a kernel may lack: `None` if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`Context::read`].
    pub fn read_optional(&self, path: impl AsRef<Path>) -> Result<Option<String>> {
        let path = path.as_ref();
        match fs::read(self.path(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => explain(read, path).map(|bytes| Some(String::from_utf8_lossy(&bytes).into())),
        }
    }
}

/// Whether we run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Adds to an error of reading `path` what it is about and which privilege is missing.
fn explain<T>(result: std::io::Result<T>, path: &Path) -> Result<T> {
    let denied = matches!(&result, Err(error) if error.kind() == ErrorKind::PermissionDenied);
    result.with_context(|| {
        if denied {
            let why = if is_root() {
                "the kernel does not let even root read it (lockdown?)"
            } else {
                "only root may read it (try sudo)"
            };
            format!("{}: {why}", path.display())
        } else {
            path.display().to_string()
        }
    })
}
