// SPDX-License-Identifier: GPL-2.0

//! How many packs other policies of placement need, for the same operations as
//! `fragmentation.rs`. Nothing of the module is in it: see decision 44.
//!
//! `cargo bench --bench policies -- LIVE:OPERATIONS:SEED[:REST:MORE]...`
//!
//! For each argument and policy the benchmark prints a row of a table: the packs that have images
//! after all operations, their mean over the second half, and how many packs' worth of chunks the
//! images are. The first of the packs is of a rank of its own, the next fifteen of another, and the
//! rest of a third, as in the module.
//!
//! With REST and MORE the load shrinks then: operations free an image, two of three times, until
//! there are REST, and MORE operations follow that keep about as many. The row is about these.

mod task;

use pack_core::model::Random;
use pack_core::CHUNK_SIZE;
use pack_core::PACK_CHUNKS;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use task::Task;

const REALISTIC: &str = include_str!("../../../tools/bench/guest/sizes.h");
/// Retired chunks for which a load makes a batch.
const WORTH: u32 = (32 << 10) / CHUNK_SIZE as u32;
/// Ranks end before these packs.
const RANKS: [usize; 3] = [1, 16, usize::MAX];
/// Holes of as many chunks are long.
const LONG: u32 = 64;

/// A pack: its holes by address and by length, the number of used chunks, and the length of the image
/// that came when it was empty.
#[derive(Default)]
struct Pack {
    holes: BTreeMap<u32, u32>,
    lengths: BTreeSet<(u32, u32)>,
    used: u32,
    opened_by: u32,
}

impl Pack {
    fn insert(&mut self, start: u32, count: u32) {
        self.holes.insert(start, count);
        self.lengths.insert((count, start));
    }

    fn remove(&mut self, start: u32) -> u32 {
        let count = self.holes.remove(&start).unwrap();
        self.lengths.remove(&(count, start));
        count
    }

    fn give(&mut self, mut start: u32, mut count: u32) {
        self.used -= count;
        let before = self.holes.range(..start).next_back();
        if let Some((hole, length)) = before.map(|(hole, length)| (*hole, *length)) {
            if hole + length == start {
                self.remove(hole);
                (start, count) = (hole, count + length);
            }
        }
        if self.holes.contains_key(&(start + count)) {
            count += self.remove(start + count);
        }
        self.insert(start, count);
    }

    fn take(&mut self, start: u32, count: u32) {
        if self.used == 0 {
            self.opened_by = count;
        }
        self.used += count;
        let length = self.remove(start);
        if length > count {
            self.insert(start + count, length - count);
        }
    }

    fn longest(&self) -> u32 {
        self.lengths.last().map_or(0, |(length, _)| *length)
    }

    /// The first hole that is long enough.
    fn first(&self, count: u32) -> Option<u32> {
        let mut holes = self.holes.iter();
        holes
            .find(|(_, length)| **length >= count)
            .map(|hole| *hole.0)
    }

    /// The length and the start of the shortest hole that is long enough.
    fn best(&self, count: u32) -> Option<(u32, u32)> {
        self.lengths.range((count, 0)..).next().copied()
    }

    /// Whether the pack may have images of as many chunks, if each has those of one class only: the
    /// classes end at these lengths.
    fn is_of_class(&self, count: u32, ends: &[u32]) -> bool {
        let class = |count: u32| ends.iter().filter(|end| count > **end).count();
        self.used == 0 || class(self.opened_by) == class(count)
    }

    /// The first hole of which nothing or at least `least` chunks are left.
    fn without_slivers(&self, count: u32, least: u32) -> Option<u32> {
        let serves = |length: u32| length == count || length >= count + least;
        let mut holes = self.holes.iter();
        holes
            .find(|(_, length)| serves(**length))
            .map(|hole| *hole.0)
    }
}

/// Finds a place for a number of chunks: the index of a pack of the list, and the chunk. All packs of
/// the list have room.
type Policy = fn(&[(usize, &Pack)], u32) -> Option<(usize, u32)>;

fn first(fits: &[(usize, &Pack)], count: u32) -> Option<(usize, u32)> {
    let (index, pack) = fits.first()?;
    Some((*index, pack.first(count)?))
}

/// First fit in packs that have images of one class.
fn first_of_class(fits: &[(usize, &Pack)], count: u32, ends: &[u32]) -> Option<(usize, u32)> {
    let mut packs = fits.iter();
    let (index, pack) = packs.find(|(_, pack)| pack.is_of_class(count, ends))?;
    Some((*index, pack.first(count)?))
}

const POLICIES: [(&str, Policy); 10] = [
    ("first fit", first),
    ("best fit in the first pack with room", |fits, count| {
        let (index, pack) = fits.first()?;
        Some((*index, pack.best(count)?.1))
    }),
    ("an exact fit, or first fit", |fits, count| {
        let exact = |pack: &Pack| pack.best(count).filter(|(length, _)| *length == count);
        let found = fits
            .iter()
            .find_map(|(index, pack)| Some((*index, exact(pack)?.1)));
        found.or_else(|| first(fits, count))
    }),
    (
        "an exact fit, or best fit in the first pack",
        |fits, count| {
            let exact = |pack: &Pack| pack.best(count).filter(|(length, _)| *length == count);
            let found = fits
                .iter()
                .find_map(|(index, pack)| Some((*index, exact(pack)?.1)));
            let (index, pack) = fits.first()?;
            found.or(Some((*index, pack.best(count)?.1)))
        },
    ),
    (
        "0 or at least 2 chunks left, or first fit",
        |fits, count| {
            let found = |pack: &Pack| pack.without_slivers(count, 2);
            let found = fits
                .iter()
                .find_map(|(index, pack)| Some((*index, found(pack)?)));
            found.or_else(|| first(fits, count))
        },
    ),
    ("best fit in the fullest pack with room", |fits, count| {
        let fullest = fits
            .iter()
            .max_by_key(|(index, pack)| (pack.used, Reverse(*index)));
        let (index, pack) = fullest?;
        Some((*index, pack.best(count)?.1))
    }),
    ("best fit", |fits, count| {
        let best = |pack: &Pack| pack.best(count);
        let found = fits
            .iter()
            .filter_map(|(index, pack)| Some((best(pack)?.0, *index, best(pack)?.1)));
        found.min().map(|(_, index, start)| (index, start))
    }),
    (
        "the shortest of the short holes, or first fit",
        |fits, count| {
            let best = |pack: &Pack| pack.best(count).filter(|(length, _)| *length < LONG);
            let found = fits
                .iter()
                .filter_map(|(index, pack)| Some((best(pack)?.0, *index, best(pack)?.1)));
            let found = found.min().map(|(_, index, start)| (index, start));
            found.or_else(|| first(fits, count))
        },
    ),
    (
        "first fit in packs of two classes, to 8 chunks and longer",
        |fits, count| first_of_class(fits, count, &[8]),
    ),
    (
        "first fit in packs of four classes, to 4, 8, 16 chunks and longer",
        |fits, count| first_of_class(fits, count, &[4, 8, 16]),
    ),
];

/// All packs, and what is retired.
struct Packs {
    policy: Policy,
    packs: Vec<Pack>,
    retired: Vec<(usize, u32, u32)>,
    waiting: u32,
}

impl Packs {
    fn in_use(&self) -> usize {
        self.packs.iter().filter(|pack| pack.used > 0).count()
    }

    fn reclaim(&mut self) {
        self.waiting = 0;
        for (index, start, count) in self.retired.drain(..) {
            if let Some(pack) = self.packs.get_mut(index) {
                pack.give(start, count);
            }
        }
    }

    fn find(&self, count: u32) -> Option<(usize, u32)> {
        let mut from = 0;
        for to in RANKS {
            let packs = self.packs.iter().enumerate().take(to).skip(from);
            let fits: Vec<_> = packs.filter(|(_, pack)| pack.longest() >= count).collect();
            if let Some(found) = (self.policy)(&fits, count) {
                return Some(found);
            }
            from = to;
        }
        None
    }

    fn make(&mut self, length: u32) -> (usize, u32, u32) {
        let chunks = |bytes: u32| bytes.div_ceil(CHUNK_SIZE as u32);
        let (count, keep) = (chunks(length + 32), chunks(length + 16));
        if self.find(count).is_none() {
            self.reclaim();
        }
        let (index, start) = self.find(count).unwrap_or_else(|| {
            let mut pack = Pack::default();
            pack.insert(0, PACK_CHUNKS.get());
            self.packs.push(pack);
            (self.packs.len() - 1, 0)
        });
        if let Some(pack) = self.packs.get_mut(index) {
            pack.take(start, count);
            if keep < count {
                pack.give(start + keep, count - keep);
            }
        }
        if self.waiting >= WORTH {
            self.reclaim();
        }
        (index, start, keep)
    }
}

/// Prints a row for a policy.
fn run(name: &str, policy: Policy, task: Task) {
    let Task { live, seed, .. } = task;
    let fields = REALISTIC.lines().filter_map(|line| line.split_once(','));
    let lengths: Vec<u32> = fields
        .filter_map(|(length, _)| length.parse().ok())
        .collect();
    let mut random = Random::new(seed);
    let mut packs = Packs {
        policy,
        packs: Vec::new(),
        retired: Vec::new(),
        waiting: 0,
    };
    let mut images = Vec::new();
    let next = |random: &mut Random| lengths[random.below(lengths.len() as u32) as usize];
    for _ in 0..live {
        images.push(packs.make(next(&mut random)));
    }
    let mut operate = |images: &mut Vec<_>, packs: &mut Packs, below: u32, least: u32| {
        if random.below(below) >= least {
            images.push(packs.make(next(&mut random)));
        } else {
            let image = images.swap_remove(random.below(images.len() as u32) as usize);
            packs.waiting += image.2;
            packs.retired.push(image);
        }
    };
    let (mut around, mut operations) = (live, task.operations);
    if let Some((rest, more)) = task.shrunk {
        for _ in 0..operations {
            let now = images.len() as u32;
            operate(&mut images, &mut packs, 2 * live, now);
        }
        while images.len() > rest as usize {
            operate(&mut images, &mut packs, 3, 2);
        }
        (around, operations) = (rest, more);
    }
    let (mut sum, mut samples) = (0, 0);
    for operation in 0..operations {
        let now = images.len() as u32;
        operate(&mut images, &mut packs, 2 * around, now);
        if operation >= operations / 2 && operation % 1_000 == 0 {
            sum += packs.in_use();
            samples += 1;
        }
    }
    packs.reclaim();
    let chunks: u32 = images.iter().map(|image| image.2).sum();
    println!(
        "| {name} | {around} | {seed} | {} | {:.2} | {:.2} |",
        packs.in_use(),
        sum as f64 / f64::from(samples.max(1)),
        f64::from(chunks) / f64::from(PACK_CHUNKS.get()),
    );
}

fn main() {
    let tasks = task::from_arguments("policies");
    println!(
        "| policy | about live | seed | packs in use | mean | perfect |\n|---|---|---|---|---|---|"
    );
    for task in tasks {
        for (name, policy) in POLICIES {
            run(name, policy, task);
        }
    }
}
