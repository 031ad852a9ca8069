// SPDX-License-Identifier: GPL-2.0

//! `bpfpack unload`: removes the module, and says who holds the images that are left.

use crate::context::Context;
use crate::output::{self, count};
use crate::signals;
use crate::sources::holders::{self, Holders};
use crate::sources::images::{self, Owner};
use crate::sources::{module, sysctl};
use anyhow::{bail, Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The options of `bpfpack unload`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Wait until the last image is gone, or for SECONDS at most
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "4294967295")]
    pub wait: Option<u32>,
    /// Say who holds the images, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// What `bpfpack unload --json` prints.
#[derive(Clone, Debug, Serialize)]
struct Report {
    /// The version of this format.
    version: u32,
    /// Whether the module is gone.
    unloaded: bool,
    /// Images that are left, by what they are.
    images: BTreeMap<String, u64>,
    /// Who holds those without an id.
    holders: Holders,
    /// What could not be found out, in sentences.
    notes: Vec<String>,
}

impl Report {
    fn new(unloaded: bool) -> Self {
        Self {
            version: 1,
            unloaded,
            images: BTreeMap::new(),
            holders: Holders::default(),
            notes: Vec::new(),
        }
    }

    /// Finds out which images are left, and returns lines that name them and who holds filters.
    fn of_left(&mut self, context: &Context) -> Result<String> {
        let (images, mut lines) = left(context)?;
        if images.contains_key("filter") {
            self.holders = holders::find(context)?;
            lines += &self.holders.render();
        }
        self.images = images;
        Ok(lines)
    }

    /// Adds that it could not be found out which images are left, and returns a line about it.
    fn not_known(&mut self, error: &anyhow::Error) -> String {
        let note = format!("which images are left cannot be found out: {error:#}");
        let line = format!("Note: {note}.\n");
        self.notes.push(note);
        line
    }

    /// Prints it, as JSON or as `text`. Returns the exit status.
    fn print(&self, text: &str, context: &Context) -> Result<ExitCode> {
        if context.json {
            output::print_json(self)?;
        } else {
            output::show(text, context)?;
        }
        Ok(ExitCode::from(u8::from(!self.unloaded)))
    }
}

/// A worker of the kernel frees the last image some tens of milliseconds after its last user.
const WORKER: Duration = Duration::from_secs(2);
/// How often to look.
const TICK: Duration = Duration::from_millis(200);
/// How often to say how many images are left.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs `bpfpack unload`.
///
/// # Errors
///
/// If the kernel refuses for another reason than the module's use, or, with `--dry-run`, the module
/// cannot be asked.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    if !module::is_loaded(context) {
        return Report::new(true).print("bpf_pack is not loaded.\n", context);
    }
    let mut report = Report::new(false);
    if options.dry_run {
        let lines = report.of_left(context)?;
        return report.print(&lines, context);
    }
    if !context.is_live() {
        bail!("a recorded machine has no module to remove: only --dry-run goes with --root");
    }
    let patience = match options.wait {
        None => WORKER,
        Some(seconds) => WORKER.max(Duration::from_secs(seconds.into())),
    };
    let removal = Removal {
        context,
        patience,
        interrupted: &*signals::flag()?,
    };
    if removal.attempt(delete_module)? {
        return Report::new(true).print("bpf_pack is removed.\n", context);
    }
    let lines = report.of_left(context);
    let lines = lines.unwrap_or_else(|error| report.not_known(&error));
    report.print(&format!("bpf_pack is in use: it stays.\n{lines}"), context)
}

/// The module's file that has its mode, and takes another one.
fn control(context: &Context) -> PathBuf {
    context.path(format!("{}/control", module::FOLDER))
}

/// Sends new images to the stock allocator. Returns whether they went to packs before.
fn drain(context: &Context) -> io::Result<bool> {
    let file = control(context);
    let served = fs::read_to_string(&file)?.trim() == "serve";
    fs::write(&file, "drain")?;
    Ok(served)
}

/// How to remove the module.
struct Removal<'a> {
    context: &'a Context,
    /// How long to try.
    patience: Duration,
    /// Set when we are told to end.
    interrupted: &'a AtomicBool,
}

impl Removal<'_> {
    /// Drains the module and removes it by `delete`. Returns whether it is gone: if it is not, it
    /// is in the mode in which it was.
    ///
    /// The mode cannot be changed where the kernel is locked down, or debugfs is not mounted. The
    /// module can be removed nevertheless, if no image comes meanwhile.
    fn attempt(&self, delete: impl FnMut() -> io::Result<()>) -> Result<bool> {
        let served = drain(self.context).unwrap_or_else(|error| {
            output::say(format_args!(
                "{} cannot be used ({error}), so that new images may come; trying to remove \
                 bpf_pack all the same",
                control(self.context).display()
            ));
            false
        });
        let removed = self.remove(delete);
        if !matches!(removed, Ok(true)) && served && module::is_loaded(self.context) {
            let file = control(self.context);
            fs::write(&file, "serve")
                .with_context(|| format!("write `serve` to {}", file.display()))?;
        }
        removed
    }

    /// Tries to remove the module until it is gone, or there is no patience left. Returns whether
    /// it is gone.
    fn remove(&self, mut delete: impl FnMut() -> io::Result<()>) -> Result<bool> {
        let start = Instant::now();
        let mut said = start;
        loop {
            match delete() {
                Ok(()) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(true),
                Err(error) if is_in_use(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    bail!(self.forbidden())
                }
                Err(error) => return Err(error).context("the kernel does not remove bpf_pack"),
            }
            if start.elapsed() >= self.patience || self.interrupted.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                let status = module::status(self.context).ok().flatten();
                let left = status.map_or_else(
                    || "bpf_pack is still in use".to_owned(),
                    |status| format!("{} left", count(status.value("images"), "image")),
                );
                output::say(format_args!("{left}; ^C ends the wait"));
            }
            sleep(TICK);
        }
    }

    /// Why the kernel lets us remove no module.
    fn forbidden(&self) -> &'static str {
        if sysctl::number(self.context, "kernel.modules_disabled") == Some(1) {
            "removing modules was switched off until the next boot (kernel.modules_disabled)"
        } else {
            "removing a module needs CAP_SYS_MODULE (try sudo)"
        }
    }
}

fn is_in_use(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EWOULDBLOCK | libc::EBUSY))
}

fn delete_module() -> io::Result<()> {
    // SAFETY: The name is a C string, and the call writes no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"bpf_pack".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The images that are left: how many there are by what they are, and lines that name them.
fn left(context: &Context) -> Result<(BTreeMap<String, u64>, String)> {
    let census = images::census(context)?;
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut named: BTreeMap<String, u64> = BTreeMap::new();
    for image in census.images.iter().filter(|image| image.pack.is_some()) {
        let (kind, line) = match &image.owner {
            _ if image.is_retired() => continue,
            Owner::Anonymous => ("filter", None),
            Owner::Program { id, kind, name, .. } => {
                ("program", Some(format!("{kind} program {id} {name}")))
            }
            Owner::Trampoline { target } => ("trampoline", Some(format!("trampoline of {target}"))),
            Owner::Other { symbol } => ("other", Some(symbol.clone())),
        };
        *kinds.entry(kind.to_owned()).or_default() += 1;
        if let Some(line) = line {
            *named.entry(line).or_default() += 1;
        }
    }
    let mut text = String::new();
    for (kind, number) in &kinds {
        text += &format!("  {} left\n", count(*number, kind));
    }
    for (line, number) in named {
        let images = count(number, "image");
        text += &format!("    {}: {images}\n", output::printable(&line));
    }
    Ok((kinds, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn loaded(name: &str) -> Folder {
        let folder = Folder::new(&format!("unload-{name}"));
        folder.write("sys/module/bpf_pack/initstate", "live\n");
        folder
    }

    /// Tries once, while the kernel says `results`. Returns how it ended, and in which mode the
    /// module was at each try.
    fn attempt(folder: &Folder, results: &[Option<i32>]) -> (Result<bool>, Vec<String>) {
        let context = folder.context();
        let mut modes = Vec::new();
        let mut results = results.iter();
        let removal = Removal {
            context: &context,
            patience: Duration::from_millis(1),
            interrupted: &AtomicBool::new(false),
        };
        let ended = removal.attempt(|| {
            modes.push(fs::read_to_string(control(&context)).unwrap_or_default());
            match results.next().copied().flatten() {
                None => Ok(()),
                Some(number) => Err(io::Error::from_raw_os_error(number)),
            }
        });
        (ended, modes)
    }

    #[test]
    fn a_module_that_stays_is_in_its_mode() {
        for mode in ["serve", "drain"] {
            let folder = loaded(mode);
            let file = format!("{}/control", module::FOLDER);
            folder.write(&file, &format!("{mode}\n"));
            for error in [libc::EWOULDBLOCK, libc::EPERM] {
                let (ended, modes) = attempt(&folder, &[Some(error), Some(error)]);
                assert_eq!(ended.is_err(), error == libc::EPERM);
                assert!(!ended.unwrap_or(false));
                assert!(modes.iter().all(|mode| mode == "drain"), "{modes:?}");
                assert_eq!(folder.read(&file).trim(), mode);
            }
            let (ended, _) = attempt(&folder, &[]);
            assert!(ended.expect("no error"));
        }
    }

    #[test]
    fn where_the_mode_cannot_be_changed_the_module_can_be_removed() {
        let folder = loaded("locked-down");
        let (ended, modes) = attempt(&folder, &[None]);
        assert!(ended.expect("no error"));
        assert_eq!(modes, [""]);
        let (ended, _) = attempt(&folder, &[Some(libc::EWOULDBLOCK), Some(libc::EWOULDBLOCK)]);
        assert!(!ended.expect("no error"));
    }

    #[test]
    fn why_nobody_may_remove_it_is_said() {
        let folder = loaded("forbidden");
        let (ended, _) = attempt(&folder, &[Some(libc::EPERM)]);
        let error = ended.expect_err("it was refused").to_string();
        assert!(error.contains("CAP_SYS_MODULE"), "{error}");
        folder.write("proc/sys/kernel/modules_disabled", "1\n");
        let (ended, _) = attempt(&folder, &[Some(libc::EPERM)]);
        let error = ended.expect_err("it was refused").to_string();
        assert!(error.contains("kernel.modules_disabled"), "{error}");
    }

    #[test]
    fn without_debugfs_the_report_says_what_is_missing() {
        let folder = loaded("no-debugfs");
        let mut report = Report::new(false);
        let error = report.of_left(&folder.context()).expect_err("no debugfs");
        assert!(error.to_string().contains("is debugfs mounted"), "{error}");
        let line = report.not_known(&error);
        assert!(line.contains(&report.notes.concat()), "{line}");
    }
}
