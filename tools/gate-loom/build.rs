// SPDX-License-Identifier: GPL-2.0

//! Makes spoilt copies of the module's gate. Each has to lose a test (`src/spoilt.rs`).

use std::env;
use std::fs;
use std::path::Path;

const GATE: &str = "../../rust/lifetime/gate.rs";

/// The name of a copy, and its texts and what stands in their places.
const COPIES: &[(&str, &[(&str, &str)])] = &[
    (
        "nothing_counted",
        &[
            ("fetch_add(1, Full)", "fetch_add(0, Full)"),
            ("fetch_sub(1, Full)", "fetch_sub(0, Full)"),
        ],
    ),
    (
        "enter_relaxed",
        &[("fetch_add(1, Full)", "fetch_add(1, Relaxed)")],
    ),
    (
        "enter_looks_first",
        &[
            (
                "gate: &'a Gate<T>,",
                "gate: &'a Gate<T>, seen: *mut T,",
            ),
            (
                "self.in_flight.fetch_add(1, Full);",
                "let seen = self.target.load(Acquire); self.in_flight.fetch_add(1, Full);",
            ),
            ("Entered { gate: self }", "Entered { gate: self, seen }"),
            ("self.gate.target.load(Acquire).as_ref()", "self.seen.as_ref()"),
        ],
    ),
    (
        "leave_relaxed",
        &[("fetch_sub(1, Full)", "fetch_sub(1, Relaxed)")],
    ),
    (
        "never_left",
        &[("fetch_sub(1, Full)", "fetch_sub(0, Full)")],
    ),
    (
        "wait_reads",
        &[("fetch_add(0, Full)", "load(Acquire)")],
    ),
    (
        "wait_relaxed",
        &[("fetch_add(0, Full)", "fetch_add(0, Relaxed)")],
    ),
    (
        "close_waits_for_nobody",
        &[("Relaxed);\n        self.wait_for_calls();", "Relaxed);")],
    ),
    (
        "close_waits_first",
        &[
            (
                "self.target.store(core::ptr::null_mut(), Relaxed);",
                "self.wait_for_calls();",
            ),
            (
                "self.wait_for_calls();\n        self.wait_for_calls();",
                "self.wait_for_calls();\n        self.target.store(core::ptr::null_mut(), Relaxed);",
            ),
        ],
    ),
    (
        "left_open",
        &[("self.target.store(core::ptr::null_mut(), Relaxed);", "")],
    ),
    (
        "open_relaxed",
        &[(".cast_mut(), Release)", ".cast_mut(), Relaxed)")],
    ),
    (
        "target_relaxed",
        &[("target.load(Acquire)", "target.load(Relaxed)")],
    ),
];

fn main() {
    println!("cargo::rerun-if-changed={GATE}");
    println!("cargo::rerun-if-changed=build.rs");
    let gate = fs::read_to_string(GATE).expect("the gate of the module");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    // Where the copy is included, documentation of a module is not allowed.
    let lines: Vec<&str> = gate
        .lines()
        .filter(|line| !line.starts_with("//!"))
        .collect();
    let gate = lines.join("\n");
    for (name, changes) in COPIES {
        let mut copy = gate.clone();
        for (from, to) in *changes {
            let found = copy.matches(from).count();
            assert_eq!(found, 1, "{name}: {from:?} has to be in {GATE} once");
            copy = copy.replace(from, to);
        }
        fs::write(Path::new(&out).join(name).with_extension("rs"), copy).expect("OUT_DIR");
    }
}
