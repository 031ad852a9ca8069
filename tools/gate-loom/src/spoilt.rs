// SPDX-License-Identifier: GPL-2.0

//! The copies of the gate that `build.rs` spoils: loom has to find what is wrong with each.

macro_rules! spoilt {
    ($($name:ident: $scenario:ident, $expected:literal;)*) => {$(
        #[allow(dead_code, unused_imports)]
        mod $name {
            use crate::sleep_ms;
            use crate::wait_for_tasks;

            mod gate {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            }
            include!("scenarios.rs");

            #[test]
            #[should_panic(expected = $expected)]
            fn is_noticed() {
                scenario($scenario);
            }
        }
    )*};
}

spoilt! {
    nothing_counted: calls_and_a_close, "Causality violation: Concurrent read and write";
    enter_relaxed: calls_and_a_close, "Causality violation: Concurrent read and write";
    enter_looks_first: calls_and_a_close, "Causality violation: Concurrent read and write";
    leave_relaxed: calls_and_a_close, "Causality violation: Concurrent read and write";
    never_left: calls_and_a_wait, "exceeded maximum number of branches";
    wait_reads: calls_and_a_close, "Causality violation: Concurrent read and write";
    wait_relaxed: calls_and_a_close, "Causality violation: Concurrent read and write";
    close_waits_for_nobody: calls_and_a_close, "Causality violation: Concurrent read and write";
    close_waits_first: calls_and_a_close, "Causality violation: Concurrent read and write";
    left_open: a_late_call, "a late call finds a target";
    open_relaxed: a_call_while_the_gate_opens, "Causality violation: Concurrent read and write";
    target_relaxed: a_call_while_the_gate_opens, "Causality violation: Concurrent read and write";
}
