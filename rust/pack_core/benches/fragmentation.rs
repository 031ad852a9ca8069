// SPDX-License-Identifier: GPL-2.0

//! Random allocations and frees of a realistic size mix: how many packs the stock allocator and
//! this one need, and how much memory is lost in them.
//!
//! `cargo bench --bench fragmentation -- LIVE:OPERATIONS:SEED[:REST:MORE]...`
//!
//! For each argument the benchmark makes LIVE images and then does OPERATIONS operations, each of
//! which makes an image or frees one, so that there are about LIVE. It prints one line of JSON for
//! each allocator before the operations and one after them. `digest` is a digest of the places of
//! all images; the guest's module (tools/bench/guest/module/random_ops.c) must come to the same.
//!
//! With REST and MORE the load shrinks then: operations free an image, two of three times, until
//! there are REST, and MORE operations follow that keep about as many. A third line says what is
//! left.
//!
//! What is modelled: an image reserves what the arm64 JIT reserves for it, without the random gap
//! after its header. Our allocator takes back whole chunks that an image does not need when it is
//! finalized, and frees retired memory when an image is finalized and 32 KiB wait, or when no pack
//! has room (all CPUs are synchronised then). It makes a pack ahead when no hole has 256 KiB. The
//! first sixteen packs are near the kernel's text and are filled first. The stock allocator frees an
//! empty pack at once; ours keeps it, because the model has no time, and the empty pack counts as
//! reserved. What is not modelled: a JIT that reserves more than the final image needs.

#[path = "../tests/common/mod.rs"]
mod common;
mod task;

use common::stock::Stock;
use common::HostPool;
use pack_core::model::Random;
use pack_core::ChunkCount;
use pack_core::Error;
use pack_core::RankSet;
use pack_core::Reserved;
use pack_core::Taken;
use pack_core::WriteEnd;
use pack_core::CHUNK_SIZE;
use pack_core::PACK_CHUNKS;
use pack_core::PACK_SIZE;
use std::collections::BTreeMap;
use task::Task;

/// The jited bytes of real programs, as C source: a line begins with a number and a comma, or has
/// no number.
const REALISTIC: &str = include_str!("../../../tools/bench/guest/sizes.h");
/// Packs at most, as in the module.
const MAX_PACKS: usize = 512;
/// The module's default of `near_packs`. The first of them has a rank of its own, because classic
/// programs may use it.
const NEAR_PACKS: usize = 16;

/// The size mix.
fn realistic() -> Vec<usize> {
    let fields = REALISTIC.lines().filter_map(|line| line.split_once(','));
    fields
        .filter_map(|(length, _)| length.parse().ok())
        .collect()
}

/// Bytes that the arm64 JIT reserves for `length` jited bytes.
fn reserved_bytes(length: usize) -> usize {
    (length + 32).next_multiple_of(CHUNK_SIZE)
}

/// Bytes that are written for `length` jited bytes.
fn used_bytes(length: usize) -> usize {
    length + 16
}

/// Where an image is: the pack's name, and the first chunk.
type Place = (usize, usize);

/// An allocator of packs of 2 MiB.
trait Allocator {
    /// The name in the output.
    const NAME: &'static str;
    /// What the allocator must know about an image.
    type Image;
    /// Makes an image of `length` jited bytes.
    fn make(&mut self, length: usize) -> Self::Image;
    /// Frees an image.
    fn free(&mut self, image: Self::Image);
    /// The place of an image.
    fn place(image: &Self::Image) -> Place;
    /// The jited bytes of an image, and its chunks.
    fn sizes(image: &Self::Image) -> (usize, usize);
    /// How many packs are reserved.
    fn packs(&self) -> usize;
}

impl Allocator for Stock {
    const NAME: &'static str = "stock";
    type Image = (usize, Place);

    fn make(&mut self, length: usize) -> Self::Image {
        (length, self.alloc(reserved_bytes(length)))
    }

    fn free(&mut self, (length, (pack, start)): Self::Image) {
        Stock::free(self, pack, start, reserved_bytes(length));
    }

    fn place(image: &Self::Image) -> Place {
        image.1
    }

    fn sizes(image: &Self::Image) -> (usize, usize) {
        (image.0, reserved_bytes(image.0) / CHUNK_SIZE)
    }

    fn packs(&self) -> usize {
        Stock::packs(self)
    }
}

/// The module's decisions, without a kernel.
struct Ours {
    /// The books.
    pool: HostPool,
    /// Packs made.
    packs: usize,
    /// Bytes that were retired since the last batch.
    retired: usize,
}

/// The retired bytes for which a load makes a batch: `WORTH` in rust/service/reclaim.rs.
const WORTH: usize = 32 << 10;

/// A pack is made ahead when no hole is as long: `LOW_WATER` in rust/service.
const LOW_WATER: ChunkCount = ChunkCount::new((256 << 10) / CHUNK_SIZE as u32);

impl Ours {
    /// An allocator without packs.
    fn new() -> Self {
        Self {
            pool: common::pool(MAX_PACKS),
            packs: 0,
            retired: 0,
        }
    }

    /// Frees the memory that was retired, after a synchronisation of all CPUs.
    fn reclaim(&mut self) {
        self.retired = 0;
        if let Some(mut open) = self.pool.begin_batch() {
            while open.has_room() {
                self.pool.extend_batch(&mut open);
            }
            common::release(&mut self.pool, open.close());
        }
    }

    /// Finds room, makes room, or makes a pack.
    fn reserve(&mut self, size: usize) -> Reserved {
        for attempt in 0.. {
            match (
                self.pool
                    .reserve_fitting(size, ChunkCount::ONE, RankSet::ALL),
                attempt,
            ) {
                (Err(Error::NeedPack(_)), 0) => self.reclaim(),
                (Err(Error::NeedPack(_)), 1) => self.grow(),
                (result, _) => {
                    if self.pool.hole_bound(RankSet::ALL) < LOW_WATER {
                        self.grow();
                    }
                    return result.unwrap();
                }
            }
        }
        unreachable!()
    }

    /// Makes a pack.
    fn grow(&mut self) {
        let rank = match self.packs {
            0 => 0,
            packs if packs < NEAR_PACKS => 1,
            _ => 2,
        };
        let pack = common::pack(PACK_CHUNKS.get(), rank);
        assert!(self.pool.add(pack).is_ok(), "too many packs");
        self.packs += 1;
    }
}

impl Allocator for Ours {
    const NAME: &'static str = "module";
    type Image = (usize, Reserved);

    fn make(&mut self, length: usize) -> Self::Image {
        let mut image = self.reserve(reserved_bytes(length));
        let keep = ChunkCount::holding(used_bytes(length)).unwrap();
        let start = image.range.start();
        image.range = self.pool.begin_image(image.pack, start, keep).unwrap().0;
        if self.retired >= WORTH {
            self.reclaim();
        }
        let end = self.pool.finalize(image.pack, image.range);
        assert_eq!(end, Ok(WriteEnd::Kept));
        (length, image)
    }

    fn free(&mut self, (_, image): Self::Image) {
        let start = image.range.start();
        let taken = self.pool.begin_retire(image.pack, start);
        assert_eq!(taken, Ok(Taken::Retiring(image.range)));
        self.pool.retired(image.pack, image.range).unwrap();
        self.retired += image.range.count().bytes();
    }

    fn place((_, image): &Self::Image) -> Place {
        let start = image.range.start().get();
        (image.pack.slot() as usize, start as usize)
    }

    fn sizes((length, image): &Self::Image) -> (usize, usize) {
        (*length, image.range.count().as_usize())
    }

    fn packs(&self) -> usize {
        self.packs
    }
}

/// The digest of all places, and how many packs have images. Packs are numbered in the order in
/// which the images name them.
fn digest<A: Allocator>(images: &[A::Image]) -> (u64, usize) {
    let mut numbers = BTreeMap::new();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for image in images {
        let (name, chunk) = A::place(image);
        let next = numbers.len();
        let pack = *numbers.entry(name).or_insert(next);
        for number in [pack, chunk] {
            digest = (digest ^ number as u64).wrapping_mul(0x100_0000_01b3);
        }
    }
    (digest, numbers.len())
}

/// Prints a line about the live images.
fn print<A: Allocator>(allocator: &A, images: &[A::Image], task: Task, operations: u32) {
    let (digest, packs) = digest::<A>(images);
    let sizes = images.iter().map(A::sizes);
    let (bytes, chunks) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
    println!(
        "{{\"line\":\"fragmentation\",\"allocator\":\"{}\",\"live\":{},\"operations\":{},\"seed\":{},\
         \"images\":{},\"packs\":{},\"reserved\":{},\"chunk_bytes\":{},\"jited_bytes\":{},\
         \"digest\":\"{:016x}\"}}",
        A::NAME,
        task.live,
        operations,
        task.seed,
        images.len(),
        packs,
        allocator.packs() * PACK_SIZE,
        chunks * CHUNK_SIZE,
        bytes,
        digest,
    );
}

/// Does a task and prints two lines.
fn run<A: Allocator>(mut allocator: A, task: Task) {
    let lengths = realistic();
    let mut random = Random::new(task.seed);
    let mut images: Vec<A::Image> = Vec::new();
    let make = |allocator: &mut A, random: &mut Random| {
        allocator.make(lengths[random.below(lengths.len() as u32) as usize])
    };
    for _ in 0..task.live {
        images.push(make(&mut allocator, &mut random));
    }
    print(&allocator, &images, task, 0);
    let mut operate = |images: &mut Vec<A::Image>, allocator: &mut A, below: u32, least: u32| {
        if random.below(below) >= least {
            images.push(make(allocator, &mut random));
        } else {
            let index = random.below(images.len() as u32);
            let image = images.swap_remove(index as usize);
            allocator.free(image);
        }
    };
    for _ in 0..task.operations {
        let now = images.len() as u32;
        operate(&mut images, &mut allocator, 2 * task.live, now);
    }
    print(&allocator, &images, task, task.operations);
    let Some((rest, more)) = task.shrunk else {
        return;
    };
    let mut operations = task.operations;
    while images.len() > rest as usize {
        operate(&mut images, &mut allocator, 3, 2);
        operations += 1;
    }
    for _ in 0..more {
        let now = images.len() as u32;
        operate(&mut images, &mut allocator, 2 * rest, now);
    }
    print(&allocator, &images, task, operations + more);
}

fn main() {
    for task in task::from_arguments("fragmentation") {
        run(Stock::new(PACK_CHUNKS.get()), task);
        run(Ours::new(), task);
    }
}
