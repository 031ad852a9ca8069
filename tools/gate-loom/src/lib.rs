// SPDX-License-Identifier: GPL-2.0

//! The gate of the module (`rust/lifetime/gate.rs`, the same file) under loom: every interleaving
//! of a few tasks is tried, with every value of a read that loom explores in the memory model of C11.
//!
//! [`sync`] stands in for the kernel's atomics. `Full` is `SeqCst` here, for which loom assumes no
//! more than acquire and release. The kernel's fully ordered operations order more, so that what
//! holds here holds there.
//!
//! `wait_for_tasks()` does nothing here: that no task is in the last instructions of a call, after
//! it was counted, is not for loom to see. `tools/protocol/gate.pml` has that.
#![cfg(test)]
// The gate names the kernel crate.
extern crate self as kernel;

mod spoilt;
mod sync;

/// Gives other tasks a turn, as a sleep does.
fn sleep_ms(_milliseconds: u32) {
    loom::thread::yield_now();
}

/// See the top of this file.
fn wait_for_tasks() {}

#[path = "../../../rust/lifetime/gate.rs"]
mod gate;
include!("scenarios.rs");

#[test]
fn no_call_is_in_a_target_whose_gate_was_closed() {
    scenario(calls_and_a_close);
}

#[test]
fn calls_of_two_tasks_and_a_close() {
    scenario(two_callers_and_a_close);
}

#[test]
fn who_comes_late_finds_no_target() {
    scenario(a_late_call);
}

#[test]
fn who_finds_the_target_finds_it_whole() {
    scenario(a_call_while_the_gate_opens);
}

#[test]
fn waiting_ends_when_the_calls_do() {
    scenario(calls_and_a_wait);
}
