// SPDX-License-Identifier: GPL-2.0

//! `advise` on recordings of machines.

use super::*;
use crate::sources::bpf::{Bpf, Function, Program};
use reckon::Verdict;
use std::fs;
use std::path::PathBuf;
use std::process;

const N1: &str = "0x00000000413fd0c1\n";
const A72: &str = "0x00000000410fd083\n";
const V1: &str = "0x00000000411fd401\n";

/// A recording in a folder of its own, which goes away with it.
struct Recording(PathBuf);

impl Drop for Recording {
    fn drop(&mut self) {
        // Nothing can be done about what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Recording {
    /// A machine with these CPUs and `count` programs of 200 bytes on a page each, which ran
    /// `runs` times.
    fn new(name: &str, cpus: &[&str], count: u32, runs: u64) -> Self {
        let root = std::env::temp_dir().join(format!("bpfpack-advise-{}-{name}", process::id()));
        let recording = Self(root);
        recording.write("proc/cmdline", "console=ttyAMA0\n");
        recording.write("proc/sys/kernel/osrelease", "7.3.4+deb13-arm64\n");
        for (number, midr) in cpus.iter().enumerate() {
            let file = format!("sys/devices/system/cpu/cpu{number}/regs/identification/midr_el1");
            recording.write(&file, midr);
        }
        recording.write("sys/devices/system/cpu/cpufreq/none", "");
        let programs = (0..count).map(|id| Program {
            id,
            name: format!("program{id}"),
            run_count: runs,
            jited_bytes: 200,
            functions: vec![Function {
                address: 0xffff_8000_8000_0040 + 4096 * u64::from(id),
                bytes: 200,
            }],
            ..Program::default()
        });
        let bpf = Bpf {
            programs: programs.collect(),
            ..Bpf::default()
        };
        let text = serde_json::to_string(&bpf).expect("plain data");
        recording.write("bpf.json", &text);
        recording
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
        fs::write(path, text).expect("a temporary file");
    }

    fn advise(&self) -> Result<Report> {
        let context = Context {
            json: false,
            color: false,
            columns: None,
            root: self.0.clone(),
        };
        let options = Options {
            seconds: 5.0,
            hot_rate: 100.0,
            itlb: None,
        };
        advise(&options, &context)
    }

    fn report(&self) -> Report {
        self.advise().expect("a whole recording")
    }
}

#[test]
fn an_idle_machine_gains_nothing() {
    let report = Recording::new("idle", &[N1, N1], 100, 499).report();
    assert_eq!((report.verdict, report.programs_hot), (Verdict::Nothing, 0));
    assert_eq!((report.programs, report.programs_run), (100, 100));
    assert!(report
        .to_string()
        .contains("Nothing to gain: no program ran 100 times a second"));
}

#[test]
fn a_few_programs_gain_nothing_and_many_something() {
    let few = Recording::new("few", &[N1], 3, 500).report();
    assert_eq!((few.verdict, few.programs_hot), (Verdict::Nothing, 3));
    let many = Recording::new("many", &[N1], 100, 500).report();
    assert_eq!(many.verdict, Verdict::Something);
    let entries = many.cpus[0].entries;
    assert_eq!(
        (entries.now, entries.packed_at_most, entries.pages),
        (100, 1, 100)
    );
    let text = many.to_string();
    assert!(
        many.summary.contains("more than the 48 of the first level"),
        "{text}"
    );
    assert!(text.contains("1 x Neoverse N1: 48 entries"), "{text}");
    assert!(text.contains("bpf_pack is not loaded"), "{text}");
    assert!(!text.contains('%'), "no promise of a share of time: {text}");
    assert!(text.lines().all(|line| line.len() <= 79), "{text}");
}

#[test]
fn each_kind_of_cpu_is_judged_and_the_best_counts() {
    let report = Recording::new("kinds", &[A72, N1, N1], 30, 500).report();
    let told: Vec<_> = report
        .cpus
        .iter()
        .map(|cpu| (cpu.kind.cpus, cpu.entries.packed_at_most))
        .collect();
    assert_eq!(told, [(1, 2), (2, 1)]);
    assert_eq!(report.verdict, Verdict::Perhaps);
}

#[test]
fn a_core_that_is_not_in_the_table_is_said_to_be_assumed() {
    let report = Recording::new("unknown", &[V1], 100, 500).report();
    assert_eq!(report.verdict, Verdict::Something);
    let text = report.to_string();
    assert!(
        report.not_known.iter().any(|note| note.contains("--itlb")),
        "{text}"
    );
}

#[test]
fn with_nohugevmalloc_packs_gain_nothing() {
    let recording = Recording::new("small", &[N1], 100, 500);
    recording.write("proc/cmdline", "quiet nohugevmalloc\n");
    let report = recording.report();
    assert_eq!(report.verdict, Verdict::Nothing);
    assert!(
        report.summary.contains("nohugevmalloc"),
        "{}",
        report.summary
    );
}

#[test]
fn images_in_packs_count_by_their_leaf() {
    let recording = Recording::new("loaded", &[N1], 100, 500);
    recording.write("sys/module/bpf_pack/initstate", "live\n");
    let pack = "pack 0xffff800080000000-0xffff800080200000: 2 MiB block, near, linear alias \
                invalid, 100 images, bytes: 25600 live, 0 reserved, 0 retired, 2071552 free";
    let status = format!("mode: serve\npacks: 1\n{pack}\n");
    recording.write("sys/kernel/debug/bpf_pack/status", &status);
    let report = recording.report();
    assert!(report.module_loaded);
    assert_eq!((report.images_hot, report.images_hot_in_packs), (100, 100));
    assert_eq!(report.cpus[0].entries.now, 1);
    assert!(
        report.summary.contains("Nothing more to gain"),
        "{}",
        report.summary
    );
}

#[test]
fn a_machine_that_is_no_arm64_one_is_refused() {
    let error = Recording::new("other", &[], 1, 1)
        .advise()
        .expect_err("no CPU");
    assert!(error.to_string().contains("no arm64 machine"), "{error}");
}

#[test]
fn json_has_the_verdict_and_the_reasons() {
    let report = Recording::new("json", &[N1], 100, 500).report();
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["verdict"], "something");
    assert_eq!(json["cpus"][0]["midr"], "0x413fd0c1");
    assert_eq!(json["cpus"][0]["tlb"]["l1"], 48);
    assert_eq!(json["cpus"][0]["entries"]["now"], 100);
    assert_eq!(json["linear_map"]["from"], "cpus");
}

#[test]
fn options_out_of_range_are_refused() {
    for (check, text) in [
        (seconds as fn(&str) -> Result<f64, String>, "0"),
        (seconds, "NaN"),
        (seconds, "1e9"),
        (rate, "-1"),
        (rate, "x"),
    ] {
        assert!(check(text).is_err(), "{text}");
    }
}
