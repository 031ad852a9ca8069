// SPDX-License-Identifier: GPL-2.0

//! No function of the crate can panic: its object code does not refer to the functions that panic.
//!
//! In the kernel a panic is a BUG(). So this test compiles the crate, and an instance of all that
//! is generic in it, as the kernel does: optimised and with overflow checks. Then it looks for the
//! names of functions that panic in the object files.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Runs the compiler on a file of the crate, with its output in `folder`.
fn compile(folder: &Path, source: &str, name: &str, options: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args([
            "--edition",
            "2021",
            "--crate-type",
            "lib",
            "--crate-name",
            name,
        ])
        .args([
            "-Copt-level=2",
            "-Coverflow-checks=on",
            "-Cpanic=abort",
            "-Ccodegen-units=1",
        ])
        .args([
            "-Cdebuginfo=0",
            "-Cdebug-assertions=off",
            "--emit",
            "metadata,obj",
        ])
        .args(options)
        .arg("-L")
        .arg(folder)
        .arg("--out-dir")
        .arg(folder)
        .arg(source)
        .status()
        .expect("the compiler runs");
    assert!(status.success(), "{name} does not compile");
}

/// Returns the symbols in an object file that belong to panics, such as those of `core::panicking`.
fn panics(object: &Path) -> Vec<String> {
    let bytes = std::fs::read(object).unwrap();
    let names = bytes.split(|byte| !byte.is_ascii_graphic());
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    let marks = [
        "panic",
        "slice_index",
        "slice_start",
        "slice_end",
        "unwrap_failed",
        "expect_failed",
    ];
    names
        .filter(|name| name.starts_with("_") && marks.iter().any(|mark| name.contains(mark)))
        .collect()
}

/// The options for a build with the feature `model`.
const MODEL: [&str; 2] = ["--cfg", "feature=\"model\""];

/// Compiles the crate and the instance with `options`. Returns the panics of both.
fn panics_of_instance(what: &str, options: &[&str]) -> (Vec<String>, Vec<String>) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(what);
    std::fs::create_dir_all(&folder).unwrap();
    compile(&folder, "lib.rs", "pack_core", options);
    let model = options.contains(&MODEL[1]);
    let options = [&["--extern", "pack_core"], options].concat();
    compile(
        &folder,
        "tests/panic_free/instance.rs",
        "instance",
        &options,
    );
    let emitted = std::fs::read(folder.join("instance.o")).unwrap();
    // Without this, the test would pass if the compiler had emitted nothing.
    for (name, there) in [
        ("begin_retire", true),
        ("begin_image", true),
        ("begin_write", true),
        ("abort_write", true),
        ("release", true),
        ("hole_bound", true),
        ("occupied", true),
        ("pack_ranges", model),
        ("trial_step", model),
    ] {
        assert_eq!(
            emitted.windows(name.len()).any(|at| at == name.as_bytes()),
            there,
            "{name}"
        );
    }
    (
        panics(&folder.join("pack_core.o")),
        panics(&folder.join("instance.o")),
    )
}

#[test]
fn nothing_can_panic() {
    let (own, instance) = panics_of_instance("checked", &MODEL);
    assert!(
        own.is_empty() && instance.is_empty(),
        "{own:#?} {instance:#?}"
    );
}

/// The kernel builds the crate without features.
#[test]
fn nothing_can_panic_in_the_kernel() {
    let (own, instance) = panics_of_instance("kernel", &[]);
    assert!(
        own.is_empty() && instance.is_empty(),
        "{own:#?} {instance:#?}"
    );
}

#[test]
fn a_panic_would_be_seen() {
    let (_, instance) = panics_of_instance("control", &["--cfg", "control"]);
    assert!(!instance.is_empty());
}
