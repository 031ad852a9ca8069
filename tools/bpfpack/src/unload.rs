// SPDX-License-Identifier: GPL-2.0

//! `bpfpack unload`: removes the module, and says who holds the images that are left.

use crate::context::Context;
use crate::output::{self, count};
use crate::signals;
use crate::sources::holders::{self, Holders};
use crate::sources::images::{self, Owner};
use crate::sources::module;
use anyhow::{bail, Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
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
/// If the module cannot be asked, or the kernel refuses for another reason than its use.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let Some(status) = module::status(context)? else {
        return finish(context, true, "bpf_pack is not loaded.\n");
    };
    if options.dry_run {
        return finish(context, false, "");
    }
    if !context.is_live() {
        bail!("a recorded machine has no module to remove: only --dry-run goes with --root");
    }
    let interrupted = signals::flag()?;
    control(context, "drain")?;
    let patience = match options.wait {
        None => WORKER,
        Some(seconds) => WORKER.max(Duration::from_secs(seconds.into())),
    };
    let removed = remove(context, patience, &interrupted);
    if !matches!(removed, Ok(true)) && status.serves() && module::is_loaded(context) {
        control(context, "serve")?;
    }
    if removed? {
        return finish(context, true, "bpf_pack is removed.\n");
    }
    finish(context, false, "bpf_pack is in use: it stays.\n")
}

/// Writes a word to the module's control file.
fn control(context: &Context, word: &str) -> Result<()> {
    let file = format!("{}/control", module::FOLDER);
    fs::write(context.path(&file), word).with_context(|| format!("write `{word}` to {file}"))
}

/// Tries to remove the module until it is gone, or `patience` is at its end. Returns whether it is.
fn remove(context: &Context, patience: Duration, interrupted: &AtomicBool) -> Result<bool> {
    let start = Instant::now();
    let mut said = start;
    loop {
        match delete_module() {
            Ok(()) => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(true),
            Err(error) if is_in_use(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                bail!("removing a module needs CAP_SYS_MODULE (try sudo)")
            }
            Err(error) => return Err(error).context("the kernel does not remove bpf_pack"),
        }
        if start.elapsed() >= patience || interrupted.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            let left = module::status(context)?.map_or(0, |status| status.value("images"));
            output::say(format_args!(
                "{} left; ^C ends the wait",
                count(left, "image")
            ));
        }
        sleep(TICK);
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

/// Says how it ended and, if the module is still there, who holds its images.
fn finish(context: &Context, unloaded: bool, sentence: &str) -> Result<ExitCode> {
    let mut report = Report {
        version: 1,
        unloaded,
        images: BTreeMap::new(),
        holders: Holders::default(),
    };
    let mut text = sentence.to_owned();
    if !unloaded {
        let (images, lines) = left(context)?;
        report.images = images;
        text += &lines;
        if report.images.contains_key("filter") {
            report.holders = holders::find(context)?;
            text += &report.holders.render();
        }
    }
    if context.json {
        output::print_json(&report)?;
    } else {
        output::print(&text)?;
    }
    Ok(ExitCode::from(u8::from(!unloaded)))
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
