// SPDX-License-Identifier: GPL-2.0

//! Tasks that free images, and tasks that make retired memory free.

use crate::common;
use crate::common::HostPool;
use crate::reserve;
use crate::schedules::every_schedule;
use crate::schedules::number_of_schedules;
use pack_core::Batch;
use pack_core::ChunkCount;
use pack_core::ChunkIdx;
use pack_core::ChunkRange;
use pack_core::Error;
use pack_core::PackId;
use pack_core::Released;
use pack_core::Reserved;
use pack_core::Taken;

/// What CPUs may still do with the bytes of a chunk. The pool knows nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hazard {
    /// A CPU may execute the image that is there, or that was there.
    Runs,
    /// The bytes are traps, but a CPU may have fetched the bytes before.
    Fetched,
    /// Every CPU executes traps there.
    Clean,
}

/// A pool with live images, the hazards of its one pack, and the batch under way with its thread.
struct World {
    pool: HostPool,
    pack: PackId,
    hazards: Vec<Hazard>,
    batch: Option<(usize, Batch)>,
}

impl World {
    /// A full pack of images of `count` chunks each.
    fn full(images: u32, count: u32) -> Self {
        let mut pool = common::pool(2);
        let pack = pool.add(common::pack(images * count, 0)).unwrap();
        for _ in 0..images {
            let Reserved { range, .. } = reserve(&mut pool, count).unwrap();
            common::make_live(&mut pool, pack, range);
        }
        let hazards = vec![Hazard::Runs; (images * count) as usize];
        Self {
            pool,
            pack,
            hazards,
            batch: None,
        }
    }

    fn fill_with_traps(&mut self, range: ChunkRange) {
        self.hazards[common::start(range)..common::end(range)].fill(Hazard::Fetched);
    }

    /// Synchronises every CPU: they do not execute instructions that they fetched before.
    fn synchronise(&mut self) {
        for hazard in self
            .hazards
            .iter_mut()
            .filter(|hazard| **hazard == Hazard::Fetched)
        {
            *hazard = Hazard::Clean;
        }
    }

    /// I4: free chunks are clean.
    fn check(&self, order: &[usize]) {
        for (chunk, hazard) in self.hazards.iter().enumerate() {
            let free = self
                .pool
                .containing(self.pack, ChunkIdx::nth(chunk as u32))
                .is_none();
            assert!(
                !free || *hazard == Hazard::Clean,
                "{order:?}: chunk {chunk} is free and {hazard:?}"
            );
        }
    }
}

/// A thread that frees the image at `chunk`.
#[derive(Clone, Copy)]
struct Freer {
    step: usize,
    chunk: u32,
    range: Option<ChunkRange>,
}

impl Freer {
    fn new(chunk: u32) -> Self {
        Self {
            step: 0,
            chunk,
            range: None,
        }
    }

    fn step(&mut self, world: &mut World) {
        match (self.step, self.range) {
            (0, _) => match world
                .pool
                .begin_retire(world.pack, ChunkIdx::nth(self.chunk))
            {
                Ok(Taken::Retiring(range)) => self.range = Some(range),
                Ok(Taken::Doomed(range)) => panic!("nobody writes to {range:?}"),
                Err(Error::WrongState(_) | Error::NotAllocated) => {}
                Err(error) => panic!("{error:?}"),
            },
            (1, Some(range)) => world.fill_with_traps(range),
            (2, Some(range)) => world.pool.retired(world.pack, range).unwrap(),
            _ => {}
        }
        self.step += 1;
    }
}

/// A thread that releases retired ranges, `at_most` of them with each step.
#[derive(Clone, Copy)]
struct Syncer {
    step: usize,
    name: usize,
    at_most: u32,
}

impl Syncer {
    fn new(name: usize, at_most: u32) -> Self {
        Self {
            step: 0,
            name,
            at_most,
        }
    }

    fn step(&mut self, world: &mut World) {
        let mine = world
            .batch
            .as_ref()
            .is_some_and(|(name, _)| *name == self.name);
        match self.step {
            0 => {
                if let Some(batch) = world.pool.begin_batch() {
                    assert!(world.batch.is_none(), "two batches");
                    world.batch = Some((self.name, batch.close()));
                }
            }
            1 if mine => world.synchronise(),
            2.. if mine => {
                let (_, batch) = world.batch.take().unwrap();
                let before = batch.tally();
                let Released { tally, rest } = world.pool.release(batch, self.at_most);
                assert_eq!(tally.ranges, before.ranges.min(u64::from(self.at_most)));
                assert!(rest.iter().all(|rest| rest.tally().plus(tally) == before));
                world.batch = rest.map(|rest| (self.name, rest));
            }
            _ => {}
        }
        self.step += 1;
    }
}

/// Runs two freers and two syncers in every order. Returns the number of orders in which everything
/// was free at the end, and the number of all orders.
fn free_and_sync(first: u32, second: u32) -> (usize, usize) {
    let steps = [3; 4];
    let mut all_free = 0;
    let count = every_schedule(&steps, &mut |order| {
        let mut world = World::full(2, 2);
        let mut freers = [Freer::new(first), Freer::new(second)];
        let mut syncers = [Syncer::new(0, u32::MAX), Syncer::new(1, u32::MAX)];
        for thread in order {
            match thread {
                0 | 1 => freers[*thread].step(&mut world),
                _ => syncers[*thread - 2].step(&mut world),
            }
            world.check(order);
        }
        pack_core::check_invariants(&world.pool).unwrap();
        let done = freers.iter().filter(|freer| freer.range.is_some()).count();
        assert_eq!(done, if first == second { 1 } else { 2 }, "{order:?}");
        // One more round frees the ranges that were retired too late for the others.
        let mut last = Syncer::new(2, u32::MAX);
        all_free += usize::from(world.pool.stats().tallies.dying().ranges == 0);
        for _ in 0..3 {
            last.step(&mut world);
            world.check(order);
        }
        assert_eq!(world.pool.stats().tallies.dying().ranges, 0, "{order:?}");
        let live = world.pool.stats().tallies.live.ranges;
        assert_eq!(live, if first == second { 1 } else { 0 }, "{order:?}");
    });
    assert_eq!(count, number_of_schedules(&steps));
    (all_free, count)
}

#[test]
fn free_memory_is_clean_in_every_order() {
    let (all_free, count) = free_and_sync(0, 2);
    assert!(all_free > 0 && all_free < count, "{all_free} of {count}");
}

/// Two images are retired, and a thread retires a third one. Each slice is one image, and other
/// threads can take the lock between two slices.
#[test]
fn free_memory_is_clean_when_a_batch_is_released_in_slices() {
    let steps = [3, 5, 5];
    let (mut meanwhile, mut left) = (0, 0);
    let count = every_schedule(&steps, &mut |order| {
        let mut world = World::full(3, 2);
        for mut freer in [Freer::new(0), Freer::new(4)] {
            (0..3).for_each(|_| freer.step(&mut world));
        }
        let mut freer = Freer::new(2);
        let mut syncers = [Syncer::new(0, 1), Syncer::new(1, 1)];
        for thread in order {
            let before = world.pool.stats().tallies;
            match thread {
                0 => freer.step(&mut world),
                _ => syncers[*thread - 1].step(&mut world),
            }
            let tallies = world.pool.stats().tallies;
            // After the first slice and before the last.
            let between = before.syncing.ranges == 1 && common::total(&before).ranges == 2;
            meanwhile += usize::from(between && tallies.retired.ranges > before.retired.ranges);
            assert_eq!(world.pool.is_batch_under_way(), tallies.syncing.ranges > 0);
            world.check(order);
        }
        pack_core::check_invariants(&world.pool).unwrap();
        left += usize::from(world.pool.stats().tallies.dying().ranges != 0);
        let mut last = Syncer::new(2, u32::MAX);
        (0..3).for_each(|_| last.step(&mut world));
        world.check(order);
        assert!(common::is_all_free(&world.pool), "{order:?}");
    });
    assert_eq!(count, number_of_schedules(&steps));
    assert!(
        meanwhile > 0 && left > 0 && left < count,
        "{meanwhile}, {left}"
    );
}

#[test]
fn of_two_that_free_the_same_image_one_does() {
    let (all_free, count) = free_and_sync(2, 2);
    assert!(all_free > 0 && all_free < count, "{all_free} of {count}");
}

/// A reservation meanwhile gets memory only after the release.
#[test]
fn reserving_while_memory_is_being_freed() {
    let steps = [3, 3, 1];
    let mut served = 0;
    let count = every_schedule(&steps, &mut |order| {
        let mut world = World::full(1, 4);
        let (mut freer, mut syncer) = (Freer::new(0), Syncer::new(0, 1));
        let mut released = false;
        for thread in order {
            match thread {
                0 => freer.step(&mut world),
                1 => syncer.step(&mut world),
                _ => match reserve(&mut world.pool, 1) {
                    Ok(Reserved { range, .. }) => {
                        assert!(released, "{order:?}: {range:?}");
                        assert_eq!(world.hazards[0], Hazard::Clean);
                        served += 1;
                    }
                    Err(error) => assert_eq!(error, Error::NeedPack(ChunkCount::ONE)),
                },
            }
            released |= common::is_all_free(&world.pool);
            world.check(order);
        }
    });
    assert_eq!(count, number_of_schedules(&steps));
    // Only the order free, sync, reserve serves it.
    assert_eq!(served, 1);
}
