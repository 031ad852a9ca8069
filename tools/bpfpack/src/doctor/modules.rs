// SPDX-License-Identifier: GPL-2.0

//! The module's file: is there one for this kernel, may it be loaded, can it be built.

use super::{machine, Finding, Level};
use crate::context::Context;
use anyhow::Result;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checks the installed module, or `given`, and whether it could be built here.
pub(super) fn check(context: &Context, release: &str, given: Option<&Path>) -> Vec<Finding> {
    let folder = context.path(format!("/lib/modules/{release}"));
    let file = given.map(Path::to_owned).or_else(|| find(&folder));
    let mut findings = Vec::new();
    let module = match &file {
        None => {
            let text = format!("no bpf_pack.ko is installed for {release}; --module names one");
            findings.push(Finding::new("module", Level::Warn, text));
            None
        }
        Some(file) => match fs::read(file).and_then(|bytes| unpack(file, bytes)) {
            Ok(Module::Plain(bytes)) => {
                findings.push(of_release(file, &bytes, release));
                Some(bytes)
            }
            Ok(Module::Packed(why)) => {
                let text = format!(
                    "{} is compressed, and its release is not known: {why}",
                    file.display()
                );
                findings.push(Finding::new("module", Level::Warn, text));
                None
            }
            Err(error) => {
                let text = format!("{}: {error}", file.display());
                findings.push(Finding::new("module", Level::Bad, text));
                None
            }
        },
    };
    findings.push(signature(context, module.as_deref()));
    findings.push(build(context, release, &folder));
    findings
}

/// What a module's file has.
#[derive(Debug, PartialEq, Eq)]
enum Module {
    /// The module.
    Plain(Vec<u8>),
    /// One that could not be decompressed, and why.
    Packed(String),
}

/// Decompresses what `file` has, if it is compressed, with the program that compresses modules.
fn unpack(file: &Path, bytes: Vec<u8>) -> io::Result<Module> {
    const PACKERS: [(&[u8], &str); 3] = [
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x1f\x8b", "gzip"),
    ];
    let packer = PACKERS.iter().find(|(magic, _)| bytes.starts_with(magic));
    let Some((_, packer)) = packer else {
        return Ok(Module::Plain(bytes));
    };
    let run = Command::new(packer)
        .arg("-dc")
        .stdin(fs::File::open(file)?)
        .output();
    Ok(match run {
        Ok(output) if output.status.success() => Module::Plain(output.stdout),
        Ok(output) => Module::Packed(format!("{packer} -dc failed ({})", output.status)),
        Err(error) => Module::Packed(format!("{packer}: {error}")),
    })
}

/// Finds `bpf_pack.ko`, or a compressed one, below `folder`.
fn find(folder: &Path) -> Option<PathBuf> {
    // Where packages, DKMS and `make modules_install` put modules that are not the kernel's own.
    [
        "updates",
        "updates/dkms",
        "extra",
        "kernel/extra",
        "weak-updates",
        "",
    ]
    .iter()
    .flat_map(|place| {
        [
            "bpf_pack.ko",
            "bpf_pack.ko.xz",
            "bpf_pack.ko.zst",
            "bpf_pack.ko.gz",
        ]
        .map(|name| folder.join(place).join(name))
    })
    .find(|file| file.exists())
}

/// Whether the module was built for the kernel `release`: it says so itself. It does not say for
/// which package version of that release, and the kernel does not ask.
fn of_release(file: &Path, bytes: &[u8], release: &str) -> Finding {
    let name = file.display();
    match vermagic(bytes).filter(|_| bytes.starts_with(b"\x7fELF")) {
        Some(built) if built == release => {
            let text = format!(
                "{name} was built for a kernel of this release; it does not say for which \
                 package version: build it anew after an update that keeps the release"
            );
            Finding::new("module", Level::Good, text)
        }
        Some(built) => {
            let text = format!("{name} was built for {built}, and this is {release}");
            Finding::new("module", Level::Bad, text)
        }
        None => Finding::new("module", Level::Bad, format!("{name} is no kernel module")),
    }
}

/// The release in a module's `vermagic`.
fn vermagic(bytes: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"vermagic=";
    let at = bytes.windows(KEY.len()).position(|window| window == KEY)?;
    let value = bytes[at + KEY.len()..].split(|&byte| byte == 0 || byte == b' ');
    Some(String::from_utf8_lossy(value.clone().next()?).into_owned())
}

/// Whether the kernel demands a signature, and the module, as far as it is known, has one.
fn signature(context: &Context, module: Option<&[u8]>) -> Finding {
    const SIGNED: &[u8] = b"~Module signature appended~\n";
    let signed = module.map(|bytes| bytes.ends_with(SIGNED));
    let who = match demanded(context) {
        Err(error) => return Finding::unknown("signatures", &error),
        Ok(None) => {
            let text = "the kernel does not demand signatures of modules";
            return Finding::new("signatures", Level::Good, text);
        }
        Ok(Some(who)) => who,
    };
    let (level, then) = match signed {
        Some(true) => (
            Level::Warn,
            "the module has one, and its key must be trusted",
        ),
        None => (Level::Warn, "sign the module with a trusted key"),
        Some(false) => (
            Level::Bad,
            "the module has none: sign it with a trusted key",
        ),
    };
    let text = format!("the kernel demands signatures of modules ({who}): {then}");
    Finding::new("signatures", level, text)
}

/// What demands signatures of modules, if anything does.
fn demanded(context: &Context) -> Result<Option<&'static str>> {
    // A kernel that is locked down refuses an unsigned module whatever `sig_enforce` says
    // (kernel/module/signing.c, `module_sig_check()`). If that is not known, another check says so.
    if matches!(machine::lockdown(context), Ok(Some(_))) {
        return Ok(Some("lockdown"));
    }
    let enforced = context.read_optional("/sys/module/module/parameters/sig_enforce")?;
    Ok(enforced
        .filter(|value| value.trim() == "Y")
        .map(|_| "module.sig_enforce"))
}

/// Whether the module can be built on this machine: that needs the kernel's Rust metadata.
fn build(context: &Context, release: &str, folder: &Path) -> Finding {
    let config = [
        folder.join("build/.config"),
        context.path(format!("/boot/config-{release}")),
    ];
    let config = config.iter().find_map(|file| fs::read_to_string(file).ok());
    let Some(config) = config else {
        let text = "the kernel's configuration is not installed: whether it has Rust is not known";
        return Finding::new("build", Level::Warn, text);
    };
    if !config.lines().any(|line| line == "CONFIG_RUST=y") {
        let text = "this kernel was built without Rust: no module for it can be built";
        return Finding::new("build", Level::Warn, text);
    }
    let compiler = config.lines().find_map(|line| {
        let value = line.strip_prefix("CONFIG_RUSTC_VERSION_TEXT=\"")?;
        value.split(" (").next()
    });
    let compiler = compiler.unwrap_or("an unknown rustc");
    let metadata = folder.join("build/rust/libkernel.rmeta");
    if metadata.exists() {
        let text = format!("the kernel's Rust metadata is installed; it needs {compiler}");
        return Finding::new("build", Level::Good, text);
    }
    let text = format!(
        "the kernel has Rust ({compiler}), but its metadata is not installed: to build here, make \
         it from the source (bpf-pack-dkms does)"
    );
    Finding::new("build", Level::Good, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_for_which_kernel_it_is() {
        let built = b"\x7fELF..\0vermagic=7.3.4+deb13-arm64 SMP preempt\0";
        let file = Path::new("bpf_pack.ko");
        let level = |release: &str| of_release(file, built, release).level;
        assert_eq!(level("7.3.4+deb13-arm64"), Level::Good);
        assert_eq!(level("7.3.5+deb13-arm64"), Level::Bad);
        assert_eq!(of_release(file, b"\x7fELF", "7.3.4").level, Level::Bad);
        assert_eq!(of_release(file, &built[4..], "7.3.4").level, Level::Bad);
    }
}
