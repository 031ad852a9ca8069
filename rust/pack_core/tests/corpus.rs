// SPDX-License-Identifier: GPL-2.0

//! The inputs that `make fuzz` has kept: those that once failed, and a few that reach much.

mod common;

use pack_core::model::Bytes;
use pack_core::model::Op;
use std::fs;
use std::path::Path;

#[test]
fn all_inputs_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut operations = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let input = Bytes::new(&bytes).expect("an input has a byte");
        let limits = input.limits();
        let ops: Vec<Op> = input.collect();
        operations += ops.len();
        if let Err((step, failure)) = common::replay(&limits, &ops) {
            panic!("{}: step {step}: {failure:?}", path.display());
        }
    }
    assert!(operations > 1_000, "{operations}");
}
