// SPDX-License-Identifier: GPL-2.0

//! The tests of the report and of signals.

use super::command::{End, Interrupts};
use super::counting::Counts;
use super::mode::Side;
use super::*;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

fn pmu(has: &[Event]) -> Pmu {
    Pmu {
        name: "armv8_pmuv3_0".to_owned(),
        kind: 8,
        cpus: vec![0, 1],
        has: has.to_vec(),
        lacks: Event::ALL
            .into_iter()
            .filter(|event| !has.contains(event))
            .collect(),
    }
}

fn turn(side: Option<Side>, images: (u64, u64), counts: &[(Event, f64)]) -> Turn {
    Turn {
        side,
        images_to_packs: images.0,
        images_to_stock: images.1,
        counts: Counts {
            events: BTreeMap::from_iter(counts.iter().copied()),
            scaled: false,
        },
    }
}

fn report(pmu: Pmu, turns: Vec<Turn>) -> Report {
    Report::new(
        vec!["run".to_owned(), "it".to_owned()],
        false,
        vec![pmu],
        turns,
    )
}

#[test]
fn sides_are_compared_with_their_spread() {
    let refills = |count| [(Event::L1iTlbRefill, count)];
    let turns = vec![
        turn(Some(Side::Stock), (0, 9), &refills(100_000.0)),
        turn(Some(Side::Packs), (9, 0), &refills(2_500.0)),
        turn(Some(Side::Packs), (9, 0), &refills(2_500.0)),
        turn(Some(Side::Stock), (0, 9), &refills(90_000.0)),
        turn(Some(Side::Stock), (0, 9), &refills(95_000.0)),
        turn(Some(Side::Packs), (9, 0), &refills(2_500.0)),
    ];
    let report = report(pmu(&Event::ALL), turns);
    let text = report.to_string();
    assert!(
        text.starts_with("6 turns of: run it; counted: the command\n"),
        "{text}"
    );
    assert!(text.contains("95,000  90,000 to 100,000"), "{text}");
    assert!(text.contains("0.026\n"), "{text}");
    assert_eq!(report.notes.len(), 1, "{text}");
}

#[test]
fn turns_without_new_images_are_no_comparison() {
    let cycles = [(Event::CpuCycles, 5.0)];
    let turns = vec![
        turn(Some(Side::Stock), (0, 0), &cycles),
        turn(Some(Side::Packs), (0, 0), &cycles),
    ];
    let text = report(pmu(&Event::ALL), turns).to_string();
    assert!(text.contains("no image was made"), "{text}");
    assert!(text.contains("1.000 (turns overlap)"), "{text}");
}

#[test]
fn a_difference_of_single_turns_is_said_to_be_no_finding() {
    let cycles = |count| [(Event::CpuCycles, count)];
    let turns = vec![
        turn(Some(Side::Stock), (0, 9), &cycles(9.0)),
        turn(Some(Side::Packs), (9, 0), &cycles(5.0)),
    ];
    let text = report(pmu(&Event::ALL), turns).to_string();
    assert!(text.contains("less than 3 turns a side"), "{text}");
}

#[test]
fn a_monitor_that_cannot_tell_misses_is_named() {
    let turns = vec![turn(None, (0, 0), &[(Event::CpuCycles, 1234.0)])];
    let text = report(pmu(&[Event::CpuCycles]), turns).to_string();
    let lacks =
        "armv8_pmuv3_0 has no event L1I_TLB_REFILL (0x02), ITLB_WALK (0x35), INST_RETIRED (0x08).";
    assert!(text.contains(lacks), "{text}");
    assert!(text.contains("says nothing about the TLB"), "{text}");
    assert!(
        text.contains("CPU_CYCLES                   1,234"),
        "{text}"
    );
}

#[test]
fn a_machine_without_monitors_is_refused() {
    let error = check(&[]).expect_err("there is none").to_string();
    assert!(error.contains("L1I_TLB_REFILL"), "{error}");
}

#[test]
fn json_has_each_turn() {
    let turns = vec![turn(
        Some(Side::Packs),
        (2, 0),
        &[(Event::InstRetired, 7.0)],
    )];
    let json = serde_json::to_value(report(pmu(&Event::ALL), turns)).expect("plain data");
    assert_eq!(json["turns"][0]["side"], "packs");
    assert_eq!(json["turns"][0]["images_to_packs"], 2);
    assert_eq!(json["turns"][0]["counts"]["inst_retired"], 7.0);
    assert_eq!(json["pmus"][0]["name"], "armv8_pmuv3_0");
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// One test for all that has to do with signals: they are the whole process's.
#[test]
fn commands_end_by_themselves_or_when_we_are_told_to() {
    let mut interrupts = Interrupts::catch().expect("handlers");
    let end = interrupts.run(&shell("exit 3")).expect("there is a shell");
    assert!(matches!(end, End::Done(status) if status.code() == Some(3)));
    assert_eq!(interrupts.pending(), None);
    let missing = interrupts.run(&["/nowhere/at/all".to_owned()]);
    let error = format!("{:#}", missing.expect_err("there is no such program"));
    assert!(error.contains("/nowhere/at/all"), "{error}");
    // The shell tells us to end, and goes on until it is told, too.
    let tell = format!("kill -TERM {}; exec sleep 20", std::process::id());
    let end = interrupts.run(&shell(&tell)).expect("there is a shell");
    let told = |status: ExitStatus| status.signal() == Some(libc::SIGTERM);
    assert!(
        matches!(end, End::Interrupted(status) if told(status)),
        "{end:?}"
    );
    assert_eq!(interrupts.pending(), Some(libc::SIGTERM));
}
