// SPDX-License-Identifier: GPL-2.0

//! Drives the service of the running kernel with the random model of `pack_core`.
//!
//! Several threads allocate, finalize, free and misuse images through the exported functions, each
//! with its own images and its own sequence of operations. After every round they stand still, and
//! each byte of each pack is compared with what the threads say: an image that was finalized holds
//! its own words, and everything else holds traps. The module does all of it while it is loaded;
//! insmod fails if a single answer or a single word was wrong.
//!
//! Nobody else may use packs meanwhile: other images would be found to be no traps.

mod actor;
mod memory;
mod sys;

use actor::Actor;
use core::borrow::Borrow;
use kernel::prelude::*;

module! {
    type: RandomTest,
    name: "bpf_pack_random",
    authors: ["bpf_pack maintainers"],
    description: "Random operations on bpf_pack, compared byte by byte",
    license: "GPL",
    params: {
        threads: u32 {
            default: 4,
            description: "Threads at a time (1 to 64, default 4)",
        },
        steps: u32 {
            default: 100_000,
            description: "Operations of all threads together (default 100000)",
        },
        rounds: u32 {
            default: 10,
            description: "How often everything is compared (1 to 10000, default 10)",
        },
        seed: u32 {
            default: 1,
            description: "The same seed, threads and rounds give the same operations (default 1)",
        },
    },
}

struct RandomTest;

/// Returns the value of a parameter, of which kernels until 7.2 give a reference.
fn parameter(value: impl Borrow<u32>) -> u32 {
    *value.borrow()
}

/// What a thread does in one round.
extern "C" fn round(actor: *mut c_void) {
    // SAFETY: `run_round` passes an actor to one thread each and waits for all of them.
    unsafe { (*actor.cast::<Actor>()).run() };
}

/// Lets every actor do its steps of one round, each in a thread of its own. Sleeps.
fn run_round(actors: &mut [Actor]) -> Result {
    let count = u32::try_from(actors.len())?;
    // SAFETY: `round` gets each of the actors once, and this returns when all threads have ended.
    kernel::error::to_result(unsafe {
        sys::random_helper_run(count, round, actors.as_mut_ptr().cast(), size_of::<Actor>())
    })
}

/// Compares all packs with what the actors know. Returns the bytes that were looked at.
///
/// # Errors
///
/// `EIO` if a word is wrong; the log says which.
fn compare(actors: &[Actor]) -> Result<u64> {
    let mut images = KVVec::new();
    for image in actors.iter().flat_map(Actor::images) {
        images.push(*image, GFP_KERNEL)?;
    }
    images.sort_unstable_by_key(|image| image.address);
    memory::compare(&images)
}

impl kernel::Module for RandomTest {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        use module_parameters as given;

        let threads = parameter(given::threads.value());
        let rounds = parameter(given::rounds.value());
        if !(1..=64).contains(&threads) || !(1..=10_000).contains(&rounds) {
            return Err(EINVAL);
        }
        let steps = parameter(given::steps.value()) / threads / rounds;
        let mut actors = KVVec::new();
        for number in 0..threads {
            let seed = u64::from(parameter(given::seed.value())) << 32 | u64::from(number);
            actors.push(Actor::new(seed, steps)?, GFP_KERNEL)?;
        }
        let mut compared = 0u64;
        for _ in 0..rounds {
            run_round(&mut actors)?;
            compared = compared.saturating_add(compare(&actors)?);
        }
        let live = actors.iter().flat_map(Actor::images).count();
        let sum = |of: fn(&Actor) -> u64| actors.iter().map(of).fold(0, u64::saturating_add);
        let wrong = sum(|actor| actor.tally.wrong);
        pr_info!(
            "{} steps: {} images, {} finalized, {} misuses, {} refused, {} left to free, {} bytes compared, {} wrong\n",
            sum(|actor| actor.tally.steps),
            sum(|actor| actor.tally.images),
            sum(|actor| actor.tally.finalized),
            sum(|actor| actor.tally.misuses),
            sum(|actor| actor.tally.refused),
            live,
            compared,
            wrong
        );
        if wrong != 0 {
            return Err(EIO);
        }
        Ok(Self)
    }
}
