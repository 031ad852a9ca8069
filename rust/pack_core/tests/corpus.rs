// SPDX-License-Identifier: GPL-2.0

//! The inputs that `make fuzz` has kept: those that once failed, and a few that reach much.

mod common;

use pack_core::model::Bytes;
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
        let mut trial = common::trial(limits.slots as usize, limits.chunks);
        for (step, op) in input.enumerate() {
            let result = trial.step(op);
            // To recount everything after each step would take too long. The fuzzer's target does it
            // after every 250 operations: what it found has to be found here.
            let recounted = if step % 50 == 49 {
                trial.verify()
            } else {
                Ok(())
            };
            if let Err(failure) = result.and(recounted) {
                panic!("{}: step {step}, {op:?}: {failure:?}", path.display());
            }
            operations += 1;
        }
        if let Err(failure) = trial.finish() {
            panic!("{}: at the end: {failure:?}", path.display());
        }
    }
    assert!(operations > 1_000, "{operations}");
}
