// SPDX-License-Identifier: GPL-2.0

//! What the arguments of the benchmarks say: LIVE:OPERATIONS:SEED[:REST:MORE]...

/// One argument: what to do.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// How many images there are, about.
    pub(crate) live: u32,
    /// How many operations.
    pub(crate) operations: u32,
    /// The seed of the random numbers.
    pub(crate) seed: u64,
    /// How many images there are at the end, and how many operations with as many.
    pub(crate) shrunk: Option<(u32, u32)>,
}

/// Parses an argument.
fn parse(text: &str) -> Option<Task> {
    let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    let (live, operations, seed, shrunk) = match *numbers.ok()?.as_slice() {
        [live, operations, seed] => (live, operations, seed, None),
        [live, operations, seed, rest, more] => (live, operations, seed, Some((rest, more))),
        _ => return None,
    };
    let counts = live > 0 && shrunk.is_none_or(|(rest, _)| rest > 0);
    counts.then_some(Task {
        live,
        operations,
        seed: u64::from(seed),
        shrunk,
    })
}

/// Returns the tasks that the program's arguments name, at least one. Without them, or with others, it
/// says how the benchmark is to be called, and ends the program.
pub(crate) fn from_arguments(name: &str) -> Vec<Task> {
    // Cargo passes an option, `--bench`, before the arguments.
    let arguments = std::env::args()
        .skip(1)
        .filter(|text| !text.starts_with("--"));
    let tasks: Option<Vec<Task>> = arguments.map(|text| parse(&text)).collect();
    tasks.filter(|tasks| !tasks.is_empty()).unwrap_or_else(|| {
        eprintln!("usage: {name} LIVE:OPERATIONS:SEED[:REST:MORE]...");
        std::process::exit(2);
    })
}
