// SPDX-License-Identifier: GPL-2.0

//! Unit tests of the parts that touch memory. Only the test build has them.
//!
//! They run inside the kernel on real regions: all of them when `unit` is written to `control`, which
//! prints KTAP lines to the log, and each as a case of KUnit where the kernel has that
//! (`unit/kunit.c`).

#![deny(unsafe_code)]

#[allow(unsafe_code)] // Reads memory, and writes to regions that only one case knows.
mod memory;
mod packs;
mod poke;
mod region;
mod service;
#[allow(unsafe_code)] // Lends a service to a worker, which is done with it before the case goes on.
mod worker;

use crate::ksym::KernelFns;
use crate::region::Origins;
use kernel::prelude::*;

/// Ends the case with a reason if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $reason:literal) => {
        if !$condition {
            return Err($reason);
        }
    };
}
use ensure;

/// Declares the cases of a suite: their functions, whose names say what holds.
macro_rules! cases {
    ($($case:ident,)*) => {
        /// The cases of this suite.
        pub(super) const CASES: &[super::Case] = &[$((stringify!($case), $case)),*];
    };
}
use cases;

/// The result of a case: the reason if it failed.
type Verdict = Result<(), &'static str>;

/// A name and a function.
type Case = (&'static str, fn(&Fixture) -> Verdict);

/// All suites by name. `unit/kunit.c` knows their numbers.
const SUITES: &[(&str, &[Case])] = &[
    ("region", region::CASES),
    ("poke", poke::CASES),
    ("service", service::CASES),
    ("packs", packs::CASES),
];

/// What cases are given.
struct Fixture {
    kernel: &'static KernelFns,
    origins: Origins,
}

impl Fixture {
    fn new(kernel: &'static KernelFns) -> Self {
        Self {
            kernel,
            origins: Origins::new(),
        }
    }
}

/// Runs every case and prints a KTAP line for each to the log. Sleeps.
///
/// # Errors
///
/// `EIO` if a case failed.
pub(crate) fn run_all(kernel: &'static KernelFns) -> Result {
    let fixture = Fixture::new(kernel);
    let (mut number, mut failed) = (0u32, false);
    for (suite, cases) in SUITES {
        for (name, run) in *cases {
            number = number.saturating_add(1);
            match run(&fixture) {
                Ok(()) => pr_info!("ok {number} - {suite}: {name}\n"),
                Err(reason) => {
                    failed = true;
                    pr_err!("not ok {number} - {suite}: {name}: {reason}\n");
                }
            }
        }
    }
    if failed {
        return Err(EIO);
    }
    Ok(())
}

/// For KUnit: the length of the name of a case, which it copies to `name`; 0 if there is no such case.
///
/// # Safety
///
/// `name` must be memory for `size` bytes.
#[no_mangle]
#[allow(unsafe_code)]
unsafe extern "C" fn bpf_pack_unit_name(
    suite: u32,
    case: u32,
    name: *mut c_char,
    size: usize,
) -> usize {
    let found = SUITES.get(suite as usize);
    let Some((text, _)) = found.and_then(|(_, cases)| cases.get(case as usize)) else {
        return 0;
    };
    let length = text.len().min(size.saturating_sub(1));
    // SAFETY: By the caller's promise there are `size` bytes, and this writes fewer and a zero.
    unsafe {
        core::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), length);
        name.wrapping_add(length).write(0);
    }
    length
}

/// For KUnit: runs a case; the log says why it failed. Sleeps.
#[no_mangle]
#[allow(unsafe_code)]
extern "C" fn bpf_pack_unit_run(suite: u32, case: u32) -> bool {
    let found = SUITES.get(suite as usize);
    let case = found.and_then(|(_, cases)| cases.get(case as usize));
    let (Some((name, run)), Some(kernel)) = (case, KernelFns::resolved()) else {
        return false;
    };
    run(&Fixture::new(kernel))
        .inspect_err(|reason| pr_err!("{name}: {reason}\n"))
        .is_ok()
}
