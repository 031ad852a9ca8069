// SPDX-License-Identifier: GPL-2.0

//! `bpfpack metrics`: what a monitor should keep, as OpenMetrics or Prometheus text.

mod collect;

use crate::context::Context;
use crate::output;
use crate::sources::bpf::{self, Program};
use crate::sources::module::{self, Status};
use crate::sources::{sysctl, vmalloc};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use prometheus_client::encoding::text;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The options of `bpfpack metrics`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The format of the text
    #[arg(short, long, value_name = "FORMAT", default_value = "openmetrics")]
    pub format: Format,
    /// Write to FILE, which is replaced at once, for the textfile collector of node_exporter
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The format of the text.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0
    Openmetrics,
    /// Prometheus text format 0.0.4, which the textfile collector and promtool read
    Prometheus,
}

/// What the metrics are made of; also what `bpfpack metrics --json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// The version of this format.
    pub version: u32,
    /// Whether the module is loaded.
    pub loaded: bool,
    /// Whether packs serve new images.
    pub serving: bool,
    /// The setting `net.core.bpf_jit_limit`, bytes.
    pub jit_limit_bytes: Option<u64>,
    /// The module's values, as `Documentation/abi.md` has them.
    pub values: BTreeMap<String, u64>,
    /// Packs by leaf and place, and how many of them have a writable alias.
    pub packs: Vec<Packs>,
    /// Programs by type.
    pub programs: Vec<Programs>,
    /// Bytes of executable memory for BPF in the kernel's list of areas, by who asked for them.
    pub areas: BTreeMap<String, u64>,
}

/// Packs of one leaf and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packs {
    /// The leaf.
    pub leaf: String,
    /// `near` or `far`.
    pub place: &'static str,
    /// How many there are.
    pub packs: u64,
    /// How many of them have a writable alias in the linear map.
    pub writable_aliases: u64,
}

/// Programs of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Programs {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many there are.
    pub programs: u64,
    /// The bytes of their images, without headers and padding.
    pub jited_bytes: u64,
}

/// Runs `bpfpack metrics`.
///
/// # Errors
///
/// If what the kernel tells cannot be read, or the file cannot be written.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let figures = figures(context)?;
    let text = if context.json {
        serde_json::to_string_pretty(&figures)? + "\n"
    } else {
        let mut text = String::new();
        text::encode(&mut text, &collect::registry(&figures))?;
        match options.format {
            Format::Openmetrics => text,
            Format::Prometheus => to_prometheus(&text),
        }
    };
    match &options.output {
        None => {
            output::print(&text)?;
        }
        Some(file) => replace(file, &text).with_context(|| file.display().to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what the metrics are made of.
fn figures(context: &Context) -> Result<Figures> {
    let status = module::status(context)?;
    let limit = sysctl::number(context, "net.core.bpf_jit_limit");
    let loaded = status.is_some();
    let status = status.unwrap_or_default();
    Ok(Figures {
        version: 1,
        loaded,
        serving: status.serves(),
        jit_limit_bytes: limit.and_then(|limit| limit.try_into().ok()),
        packs: packs(&status),
        values: status.values,
        programs: programs(&bpf::read(context)?.programs),
        areas: vmalloc::areas(context)?,
    })
}

fn packs(status: &Status) -> Vec<Packs> {
    let mut kinds: BTreeMap<(&str, &'static str), (u64, u64)> = BTreeMap::new();
    for pack in &status.packs {
        let place = if pack.near { "near" } else { "far" };
        let (packs, aliases) = kinds.entry((&pack.leaf, place)).or_default();
        *packs += 1;
        *aliases += u64::from(pack.writable_alias);
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|((leaf, place), (packs, writable_aliases))| Packs {
            leaf: leaf.to_owned(),
            place,
            packs,
            writable_aliases,
        })
        .collect()
}

fn programs(programs: &[Program]) -> Vec<Programs> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for program in programs {
        let (number, bytes) = kinds.entry(&program.kind).or_default();
        *number += 1;
        *bytes += u64::from(program.jited_bytes);
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(kind, (programs, jited_bytes))| Programs {
            kind: kind.to_owned(),
            programs,
            jited_bytes,
        })
        .collect()
}

/// Makes Prometheus' text of OpenMetrics': there a counter has `_total` in its name, and there are
/// neither units nor an end.
fn to_prometheus(text: &str) -> String {
    let mut counters = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ').skip(2);
        if line.starts_with("# TYPE ") && words.clone().nth(1) == Some("counter") {
            counters.extend(words.next());
        }
    }
    let mut result = String::new();
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word), Some(name), Some(rest)) if counters.contains(&name) => {
                result += &format!("# {word} {name}_total {rest}\n");
            }
            _ => {
                result += line;
                result.push('\n');
            }
        }
    }
    result
}

/// Writes `text` to a new file beside `file`, which it then replaces: a reader sees one or the other.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    // What has this name already, a run left that was killed, or somebody else who may write here
    // put there: a link would lead us to a file of another folder.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::File::create_new(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, file))
        .inspect_err(|_| {
            // Nothing may be left behind; that there was nothing is no second error.
            let _ = fs::remove_file(&new);
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_has_total_in_the_names_of_counters() {
        let open = "# HELP a_b Things that a_b.\n# TYPE a_b counter\na_b_total 1\n\
                    # HELP c_bytes Size.\n# TYPE c_bytes gauge\n# UNIT c_bytes bytes\nc_bytes 2\n\
                    # EOF\n";
        let expected = "# HELP a_b_total Things that a_b.\n# TYPE a_b_total counter\na_b_total 1\n\
                        # HELP c_bytes Size.\n# TYPE c_bytes gauge\nc_bytes 2\n";
        assert_eq!(to_prometheus(open), expected);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left() {
        let folder = std::env::temp_dir().join(format!("bpfpack-metrics-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the test");
        let file = folder.join("x.prom");
        replace(&file, "one\n").expect("it can be written");
        replace(&file, "two\n").expect("it can be replaced");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "two\n");
        assert!(replace(&folder.join("no/such.prom"), "x").is_err());
        // The folder may belong to a user who is not to choose what root writes to.
        let (other, new) = (folder.join("other"), folder.join("x.prom.new"));
        fs::write(&other, "untouched\n").expect("it can be written");
        std::os::unix::fs::symlink(&other, &new).expect("it can be made");
        replace(&file, "three\n").expect("what a dead run left is no obstacle");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "three\n");
        assert!(fs::symlink_metadata(&file).is_ok_and(|file| file.is_file()));
        let untouched = fs::read_to_string(&other).expect("it is there");
        assert_eq!(untouched, "untouched\n");
        fs::remove_file(&other).expect("the test made it");
        assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 1);
        fs::remove_dir_all(&folder).expect("the test made it");
    }
}
