// SPDX-License-Identifier: GPL-2.0

//! The program `bpfpack`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bpfpack::cli::main()
}
