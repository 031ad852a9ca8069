// SPDX-License-Identifier: GPL-2.0

//! The fuzz target: libFuzzer calls it with bytes, which become operations on a pool and on the
//! shadow that decides which answers are right.
//!
//! It counts operations, over several runs, and ends when there are enough.

#![no_main]

use pack_core::model::Bytes;
use pack_core::model::Cell;
use pack_core::model::Shadow;
use pack_core::model::Trial;
use pack_core::ChunkCount;
use pack_core::Pool;
use pack_core::Slot;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

/// After so many operations all of the pool is recounted and compared.
const INTERVAL: u64 = 250;
/// After so many operations their number is written down.
const NOTE_EVERY: u64 = 200_000;

unsafe extern "C" {
    /// libFuzzer takes a process that exits by itself for one that failed, unless its handlers do
    /// not run.
    safe fn _exit(status: i32) -> !;
}

/// The count of operations, in this run and in those before it.
struct Count {
    file: Option<PathBuf>,
    done: u64,
    noted: u64,
    enough: u64,
}

impl Count {
    fn new() -> Self {
        let file = env::var_os("FUZZ_COUNT").map(PathBuf::from);
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let done = text.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let enough = env::var("FUZZ_OPERATIONS").ok();
        Self {
            file,
            done,
            noted: done,
            enough: enough
                .and_then(|text| text.parse().ok())
                .unwrap_or(u64::MAX),
        }
    }

    fn add(&mut self, operations: u64) {
        self.done += operations;
        let enough = self.done >= self.enough;
        if enough || self.done - self.noted >= NOTE_EVERY {
            self.noted = self.done;
            if let Some(file) = &self.file {
                fs::write(file, format!("{}\n", self.done)).expect("the file of the count");
            }
        }
        if enough {
            _exit(0);
        }
    }
}

/// Storage with arbitrary content.
fn words(count: usize) -> Option<Vec<u64>> {
    Some(vec![0x5a5a_a5a5_dead_beef; count])
}

/// Applies the operations, and then frees everything. Returns their number.
fn apply(bytes: &[u8]) -> u64 {
    type Words = Vec<u64>;
    type Slots = Vec<Slot<Words>>;
    let Some(operations) = Bytes::new(bytes) else {
        return 0;
    };
    let limits = operations.limits();
    let (slots, chunks) = (limits.slots as usize, limits.chunks);
    let index = vec![0xa5a5_a5a5_5a5a_5a5a; Pool::<Words, Slots>::index_words(slots)];
    let recent = vec![0xa5a5_a5a5_5a5a_5a5a; Pool::<Words, Slots>::recent_words()];
    let vacant = (0..slots).map(|_| Slot::vacant()).collect::<Slots>();
    let pool = Pool::new(vacant, index, recent);
    let cells = vec![Cell::default(); slots * chunks as usize];
    let shadow = Shadow::new(vec![None; slots], cells, ChunkCount::new(chunks));
    let supply: fn(usize) -> Option<Words> = words;
    let mut trial = Trial::new(pool.unwrap(), shadow.unwrap(), supply).unwrap();
    let mut done = 0;
    for operation in operations {
        done += 1;
        if let Err(failure) = trial.step(operation) {
            panic!("operation {done}, {operation:?}: {failure:?}");
        }
        if done % INTERVAL == 0 {
            if let Err(failure) = trial.verify() {
                panic!("after operation {done}: {failure:?}");
            }
        }
    }
    if let Err(failure) = trial.verify().and_then(|()| trial.finish()) {
        panic!("at the end: {failure:?}");
    }
    done
}

/// libFuzzer's entry: one input.
///
/// # Safety
///
/// There are `size` bytes at `data`.
#[no_mangle]
pub unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    static COUNT: OnceLock<std::sync::Mutex<Count>> = OnceLock::new();
    let bytes = if size == 0 {
        &[]
    } else {
        // SAFETY: The caller says so.
        unsafe { core::slice::from_raw_parts(data, size) }
    };
    let done = apply(bytes);
    let count = COUNT.get_or_init(|| Count::new().into());
    count.lock().expect("one thread").add(done);
    0
}
