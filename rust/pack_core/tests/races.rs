// SPDX-License-Identifier: GPL-2.0

//! The protocols that give up the lock between two calls, in every order in which their steps can
//! happen.
//!
//! A call on the pool is one step, because a lock is held around it; so is each thing that happens
//! outside the lock. The threads of a test are lists of steps; a schedule says whose step is next;
//! every schedule is tried.

mod common;

use common::HostPack;
use common::HostPool;
use pack_core::Batch;
use pack_core::ChunkCount;
use pack_core::ChunkIdx;
use pack_core::ChunkRange;
use pack_core::Error;
use pack_core::PackId;
use pack_core::RangeState;
use pack_core::RankSet;
use pack_core::Released;
use pack_core::Reserved;
use pack_core::Taken;
use pack_core::WriteEnd;

/// Calls `run` with every order of the steps of threads that have `steps` of them; returns how many
/// there are.
fn every_schedule(steps: &[usize], run: &mut impl FnMut(&[usize])) -> usize {
    fn extend(left: &mut [usize], order: &mut Vec<usize>, run: &mut impl FnMut(&[usize])) -> usize {
        if left.iter().all(|steps| *steps == 0) {
            run(order);
            return 1;
        }
        let mut schedules = 0;
        for thread in 0..left.len() {
            if left[thread] > 0 {
                left[thread] -= 1;
                order.push(thread);
                schedules += extend(left, order, run);
                order.pop();
                left[thread] += 1;
            }
        }
        schedules
    }
    extend(&mut steps.to_vec(), &mut Vec::new(), run)
}

/// The number of orders: (a + b + …)! / (a! b! …).
fn number_of_schedules(steps: &[usize]) -> usize {
    let mut total = 0;
    let mut number = 1;
    for steps in steps {
        for step in 1..=*steps {
            total += 1;
            number = number * total / step;
        }
    }
    number
}

#[test]
fn schedules_are_all_there() {
    let mut seen = std::collections::HashSet::new();
    let count = every_schedule(
        &[2, 2, 1],
        &mut |order| assert!(seen.insert(order.to_vec())),
    );
    assert_eq!((count, seen.len()), (30, 30));
    assert_eq!(number_of_schedules(&[2, 2, 1]), 30);
}

/// A thread that needs memory: it asks; if there is none it makes a pack without the lock, asks
/// once more, adds the pack if there still is none.
#[derive(Default)]
struct Client {
    step: usize,
    made: Option<HostPack>,
    unused: Option<HostPack>,
    reserved: Option<Reserved>,
}

impl Client {
    fn step(&mut self, pool: &mut HostPool, size: usize) {
        match self.step {
            0 => self.ask(pool, size),
            1 if self.reserved.is_none() => self.made = Some(common::pack(8, 0)),
            2 if self.reserved.is_none() => {
                self.ask(pool, size);
                if self.reserved.is_some() {
                    self.unused = self.made.take();
                } else {
                    pool.add(self.made.take().unwrap()).unwrap();
                    self.ask(pool, size);
                }
            }
            _ => {}
        }
        self.step += 1;
    }

    fn ask(&mut self, pool: &mut HostPool, size: usize) {
        match pool.reserve(size, ChunkCount::ONE, RankSet::ALL) {
            Ok(reserved) => self.reserved = Some(reserved),
            Err(error) => assert_eq!(error, Error::NeedPack(ChunkCount::holding(size).unwrap())),
        }
    }
}

/// Runs clients with the given sizes in chunks; returns the numbers of packs that were added, over
/// all schedules.
fn supply(sizes: &[usize]) -> std::collections::BTreeSet<u64> {
    let mut packs = std::collections::BTreeSet::new();
    let steps = vec![3; sizes.len()];
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(4);
        let mut clients: Vec<Client> = sizes.iter().map(|_| Client::default()).collect();
        for thread in order {
            clients[*thread].step(&mut pool, sizes[*thread] * 64);
            pack_core::check_invariants(&pool).unwrap();
        }
        let ranges: Vec<Reserved> = clients
            .iter()
            .map(|client| client.reserved.unwrap())
            .collect();
        for (index, one) in ranges.iter().enumerate() {
            assert_eq!(one.range.count().as_usize(), sizes[index]);
            for other in &ranges[..index] {
                let apart = one.pack != other.pack
                    || one.range.end() <= other.range.start()
                    || other.range.end() <= one.range.start();
                assert!(apart, "{order:?}: {one:?} and {other:?}");
            }
        }
        let made = clients
            .iter()
            .filter(|client| client.unused.is_some())
            .count() as u64;
        assert!(pool.stats().packs + made <= sizes.len() as u64);
        packs.insert(pool.stats().packs);
    });
    assert_eq!(count, number_of_schedules(&steps));
    packs
}

#[test]
fn two_clients_that_fit_into_one_pack_get_one() {
    assert_eq!(supply(&[4, 4]).into_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn two_clients_that_do_not_fit_get_two() {
    assert_eq!(supply(&[5, 4]).into_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn three_clients() {
    assert_eq!(supply(&[2, 3, 3]).into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(supply(&[8, 8, 8]).into_iter().collect::<Vec<_>>(), [3]);
    // 5 + 3 share a pack, or 4 + 3 do: two packs in any case.
    assert_eq!(supply(&[5, 4, 3]).into_iter().collect::<Vec<_>>(), [2]);
}

/// What CPUs may still do with the bytes of a chunk, which the pool knows nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hazard {
    /// A CPU may run what is there, or what was there.
    Runs,
    /// There are traps, but a CPU may have fetched what was there before.
    Fetched,
    /// Every CPU sees traps.
    Clean,
}

/// A pool with live images, the hazards of its one pack, and what the threads know.
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
        let (start, end) = (range.start().get() as usize, range.end().get() as usize);
        self.hazards[start..end].fill(Hazard::Fetched);
    }

    /// Every CPU synchronises: nobody has fetched anything from before.
    fn synchronise(&mut self) {
        for hazard in self
            .hazards
            .iter_mut()
            .filter(|hazard| **hazard == Hazard::Fetched)
        {
            *hazard = Hazard::Clean;
        }
    }

    /// I4: what can be handed out is clean.
    fn check(&self, order: &[usize]) {
        for (chunk, hazard) in self.hazards.iter().enumerate() {
            let free = self
                .pool
                .containing(self.pack, ChunkIdx::new(chunk as u32))
                .is_none();
            assert!(
                !free || *hazard == Hazard::Clean,
                "{order:?}: chunk {chunk} is free and {hazard:?}"
            );
        }
    }
}

/// Reserves so many chunks.
fn reserve(pool: &mut HostPool, chunks: u32) -> Result<Reserved, Error> {
    let size = ChunkCount::new(chunks).bytes();
    pool.reserve(size, ChunkCount::ONE, RankSet::ALL)
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
                .begin_retire(world.pack, ChunkIdx::new(self.chunk))
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

/// A thread that makes retired memory free, `at_most` ranges with each step.
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
                    world.batch = Some((self.name, batch));
                }
            }
            1 if mine => world.synchronise(),
            2.. if mine => {
                let (_, batch) = world.batch.take().unwrap();
                let before = batch.tally();
                let Released { tally, rest } = world.pool.release(batch, self.at_most);
                assert_eq!(tally.ranges, before.ranges.min(u64::from(self.at_most)));
                assert!(rest.iter().all(|rest| rest.tally() == before.minus(tally)));
                world.batch = rest.map(|rest| (self.name, rest));
            }
            _ => {}
        }
        self.step += 1;
    }
}

/// Runs two freers and two syncers in every order; returns in how many of them all was free in the
/// end.
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
        // One more round brings back whatever was too late, and only that was missing.
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

/// Two images are retired, a third one is on the way; each slice is one of them, and everybody gets
/// the lock between two slices.
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
            let between = before.syncing.ranges == 1 && before.total().ranges == 2;
            meanwhile += usize::from(between && tallies.retired.ranges > before.retired.ranges);
            assert_eq!(world.pool.batch_under_way(), tallies.syncing.ranges > 0);
            world.check(order);
        }
        pack_core::check_invariants(&world.pool).unwrap();
        left += usize::from(world.pool.stats().tallies.dying().ranges != 0);
        let mut last = Syncer::new(2, u32::MAX);
        (0..3).for_each(|_| last.step(&mut world));
        world.check(order);
        assert!(world.pool.stats().tallies.is_empty(), "{order:?}");
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

/// A reservation that comes in between gets memory only after the release.
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
            released |= world.pool.stats().tallies.total().ranges == 0;
            world.check(order);
        }
    });
    assert_eq!(count, number_of_schedules(&steps));
    // Only the order free, sync, reserve has it.
    assert_eq!(served, 1);
}

/// An empty pack is taken out while somebody reserves: he gets a range of a pack that is there, or
/// must bring one.
#[test]
fn taking_an_empty_pack_out_while_reserving() {
    let steps = [3, 2, 2];
    let (mut kept, mut taken) = (0, 0);
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(1);
        let first = pool.add(common::pack(8, 0)).unwrap();
        let mut client = Client::default();
        let mut gone = Vec::new();
        for thread in order {
            match thread {
                0 => client.step(&mut pool, 128),
                1 => gone.extend(pool.take_empty(0, |_, _| true).map(|(id, _)| id)),
                _ => gone.extend(pool.take_empty(1, |_, _| true).map(|(id, _)| id)),
            }
            pack_core::check_invariants(&pool).unwrap();
            let reserved = client.reserved.map(|reserved| reserved.pack);
            assert!(
                reserved.is_none_or(|pack| !gone.contains(&pack)),
                "{order:?}"
            );
        }
        let Reserved { pack, range } = client.reserved.unwrap();
        assert_eq!(
            pool.find(pack, range.start()),
            Some((RangeState::Reserved, range))
        );
        for id in &gone {
            assert_eq!(pool.begin_retire(*id, range.start()), Err(Error::Stale));
        }
        match pack == first {
            true => kept += 1,
            false => taken += 1,
        }
    });
    assert_eq!(count, number_of_schedules(&steps));
    assert!(kept > 0 && taken > 0, "{kept}, {taken}");
}

/// Trimming and finalizing one image while another is reserved: the tail goes to the other, the
/// image stays whole.
#[test]
fn trimming_while_reserving() {
    let steps = [3, 1, 1];
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(1);
        let pack = pool.add(common::pack(8, 0)).unwrap();
        let mut mine: Option<ChunkRange> = None;
        let mut others = Vec::new();
        let mut step = 0;
        for thread in order {
            match (thread, step) {
                (0, 0) => mine = reserve(&mut pool, 6).ok().map(|it| it.range),
                (0, 1) => {
                    mine = mine.map(|range| pool.trim(pack, range, ChunkCount::new(2)).unwrap());
                    mine.iter().for_each(|range| {
                        pool.begin_write(pack, *range).unwrap();
                    });
                }
                (0, _) => {
                    mine.iter().for_each(|range| {
                        assert_eq!(pool.finalize(pack, *range), Ok(WriteEnd::Kept))
                    });
                }
                _ => others.extend(reserve(&mut pool, 4)),
            }
            step += usize::from(*thread == 0);
            pack_core::check_invariants(&pool).unwrap();
        }
        if let Some(range) = mine {
            assert_eq!(range.count().get(), 2);
            assert_eq!(
                pool.find(pack, range.start()),
                Some((RangeState::Live, range))
            );
        }
        assert!(mine.is_some() || !others.is_empty(), "{order:?}");
    });
    assert_eq!(count, number_of_schedules(&steps));
}

/// What is in a chunk: traps, or a part of somebody's image.
type Content = Option<&'static str>;

/// One image of a pool, the bytes of its one pack, and what the threads do to both.
struct Memory {
    pool: HostPool,
    pack: PackId,
    image: ChunkRange,
    bytes: Vec<Content>,
}

impl Memory {
    /// A full pack with one reserved image.
    fn reserved(count: u32) -> Self {
        let mut pool = common::pool(1);
        pool.add(common::pack(count, 0)).unwrap();
        let Reserved { pack, range } = reserve(&mut pool, count).unwrap();
        Self {
            pool,
            pack,
            image: range,
            bytes: vec![None; count as usize],
        }
    }

    fn state(&self) -> Option<RangeState> {
        let found = self.pool.find(self.pack, self.image.start());
        found.map(|(state, _)| state)
    }

    fn fill(&mut self, content: Content) {
        self.bytes.fill(content);
    }

    /// A live image, whoever made it, is whole.
    fn check(&self, owner: Content, order: &[usize]) {
        assert!(
            self.bytes.iter().all(|byte| *byte == owner),
            "{order:?}: the live image of {owner:?} is {:?}",
            self.bytes
        );
        pack_core::check_invariants(&self.pool).unwrap();
    }
}

/// A thread that finalizes the image, which somebody else may have freed or finalized; with `fails`
/// its copy breaks off in the middle.
#[derive(Clone, Copy)]
struct Writer {
    step: usize,
    name: &'static str,
    fails: bool,
    /// It was let in.
    began: bool,
    /// Its image is live, or was.
    done: bool,
    /// Somebody freed the image during the copy: the traps are up to the writer.
    doomed: bool,
}

impl Writer {
    /// The beginning, two halves of the copy, the end, and what follows for an image that is doomed:
    /// the traps, and that they are visible.
    const STEPS: usize = 6;

    fn new(name: &'static str, fails: bool) -> Self {
        Self {
            step: 0,
            name,
            fails,
            began: false,
            done: false,
            doomed: false,
        }
    }

    fn step(&mut self, memory: &mut Memory) {
        let Memory {
            pool, pack, image, ..
        } = memory;
        let half = memory.bytes.len() / 2;
        match self.step {
            // The pool would let a live image be written in place; it is finalized only once.
            0 if pool.find(*pack, image.start()) == Some((RangeState::Live, *image)) => {}
            0 => match pool.begin_write(*pack, *image) {
                Ok(was) => {
                    assert_eq!(was, RangeState::Reserved);
                    self.began = true;
                }
                Err(Error::WrongState(_) | Error::NotAllocated) => {}
                Err(error) => panic!("{error:?}"),
            },
            1 if self.began => memory.bytes[..half].fill(Some(self.name)),
            2 if self.began && self.fails => memory.fill(None),
            2 if self.began => memory.bytes[half..].fill(Some(self.name)),
            3 if self.began => {
                let end = if self.fails {
                    pool.abort_write(*pack, *image)
                } else {
                    pool.finalize(*pack, *image)
                };
                // Were this refused, the harm would be done already: it is looked for in the bytes.
                self.doomed = end == Ok(WriteEnd::Doomed);
                self.done = end == Ok(WriteEnd::Kept) && !self.fails;
            }
            4 if self.doomed => memory.fill(None),
            5 if self.doomed => pool.retired(*pack, *image).unwrap(),
            _ => {}
        }
        self.step += 1;
    }
}

/// A thread that frees the image, whoever made it; of one that is being written it leaves the rest
/// to the writer.
#[derive(Clone, Copy, Default)]
struct Remover {
    step: usize,
    /// It freed the image, and somebody fills it with traps.
    taken: Option<Taken>,
}

impl Remover {
    /// The beginning, the traps, and that they are visible.
    const STEPS: usize = 3;

    fn step(&mut self, memory: &mut Memory) {
        let start = memory.image.start();
        match (self.step, self.taken) {
            (0, _) => self.taken = memory.pool.begin_retire(memory.pack, start).ok(),
            (1, Some(Taken::Retiring(_))) => memory.fill(None),
            (2, Some(Taken::Retiring(range))) => memory.pool.retired(memory.pack, range).unwrap(),
            _ => {}
        }
        self.step += 1;
    }

    /// What it did, in short.
    fn outcome(&self) -> &'static str {
        match self.taken {
            None => "refused",
            Some(Taken::Retiring(_)) => "freed",
            Some(Taken::Doomed(_)) => "doomed",
        }
    }
}

/// Makes all that is retired free, and says whether nothing is left that is neither free nor live.
fn nothing_leaks(memory: &mut Memory, batch: Option<Batch>) -> bool {
    let mut rest = batch.or_else(|| memory.pool.begin_batch());
    while let Some(batch) = rest {
        common::release(&mut memory.pool, batch);
        rest = memory.pool.begin_batch();
    }
    let tallies = memory.pool.stats().tallies;
    tallies.total() == tallies.live
}

/// Somebody frees an image while it is being finalized, somebody else synchronises the CPUs, and a
/// third party is waiting for memory and makes an image in it: that one stays whole, and the memory
/// of the first one comes back in every order.
#[test]
fn an_image_that_is_being_finalized_is_not_handed_out_and_does_not_leak() {
    let steps = [Writer::STEPS, Remover::STEPS, 2, 2];
    let mut outcomes = std::collections::BTreeSet::new();
    let count = every_schedule(&steps, &mut |order| {
        let mut memory = Memory::reserved(2);
        let mut writer = Writer::new("writer", false);
        let mut remover = Remover::default();
        let mut batch = None;
        let mut third: Option<ChunkRange> = None;
        let mut third_is_live = false;
        for thread in order {
            match thread {
                0 => writer.step(&mut memory),
                1 => remover.step(&mut memory),
                2 => match batch.take() {
                    // Nothing that runs here is looked at, so the CPUs need do nothing.
                    Some(batch) => {
                        common::release(&mut memory.pool, batch);
                    }
                    None => batch = memory.pool.begin_batch(),
                },
                // An address that was handed out again cannot be told from what it was before: a
                // late finalize or free of it is let in. So it is claimed at once.
                _ if third.is_none() => {
                    let reserved = reserve(&mut memory.pool, 2).ok();
                    third = reserved.map(|reserved| reserved.range);
                    if let Some(range) = third {
                        memory.pool.begin_write(memory.pack, range).unwrap();
                        memory.fill(Some("third party"));
                    }
                }
                _ => {
                    let range = third.unwrap();
                    let end = memory.pool.finalize(memory.pack, range);
                    assert_eq!(end, Ok(WriteEnd::Kept), "{order:?}");
                    third_is_live = true;
                }
            }
            if third_is_live {
                memory.check(Some("third party"), order);
            } else if writer.done && memory.state() == Some(RangeState::Live) {
                memory.check(Some("writer"), order);
            }
        }
        assert_eq!(
            writer.doomed,
            matches!(remover.taken, Some(Taken::Doomed(_))),
            "{order:?}"
        );
        if third.is_some() == third_is_live {
            assert!(nothing_leaks(&mut memory, batch), "{order:?}");
        }
        outcomes.insert((writer.done, remover.outcome(), third_is_live));
    });
    assert_eq!(count, number_of_schedules(&steps));
    // Finalized, freed, used again. The free is refused in no order.
    let wanted = [
        (false, "doomed", false),
        (false, "doomed", true),
        (false, "freed", false),
        (false, "freed", true),
        (true, "freed", false),
        (true, "freed", true),
    ];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), wanted);
}

/// Two free an image while it is being written, or before, or after: one of them does, and it is
/// filled with traps and comes back once.
#[test]
fn of_two_that_free_an_image_that_is_being_written_one_does() {
    for fails in [false, true] {
        let steps = [Writer::STEPS, Remover::STEPS, Remover::STEPS];
        let mut outcomes = std::collections::BTreeSet::new();
        let count = every_schedule(&steps, &mut |order| {
            let mut memory = Memory::reserved(2);
            let mut writer = Writer::new("writer", fails);
            let mut removers = [Remover::default(); 2];
            for thread in order {
                match thread {
                    0 => writer.step(&mut memory),
                    _ => removers[*thread - 1].step(&mut memory),
                }
                pack_core::check_invariants(&memory.pool).unwrap();
            }
            memory.check(None, order);
            assert_eq!(memory.state(), Some(RangeState::Retired), "{order:?}");
            assert!(nothing_leaks(&mut memory, None), "{order:?}");
            assert!(memory.pool.stats().tallies.is_empty());
            let mut done = removers.map(|remover| remover.outcome());
            done.sort();
            outcomes.insert((done, writer.done));
        });
        assert_eq!(count, number_of_schedules(&steps));
        let mut wanted = vec![
            (["doomed", "refused"], false),
            (["freed", "refused"], false),
            (["freed", "refused"], true),
        ];
        wanted.truncate(if fails { 2 } else { 3 });
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), wanted);
    }
}

/// Runs two writers of one image, and a remover if there is one, in every order; returns which
/// outcomes there are: whose image is or was live, and what the remover did.
fn two_writers(fails: bool, frees: bool) -> Vec<([bool; 2], &'static str)> {
    let frees = if frees { Remover::STEPS } else { 0 };
    let steps = [Writer::STEPS, Writer::STEPS, frees];
    let mut outcomes = std::collections::BTreeSet::new();
    let count = every_schedule(&steps, &mut |order| {
        let mut memory = Memory::reserved(2);
        let mut writers = [Writer::new("first", fails), Writer::new("second", false)];
        let mut remover = Remover::default();
        for thread in order {
            match thread {
                0 | 1 => writers[*thread].step(&mut memory),
                _ => remover.step(&mut memory),
            }
            let owner = writers.iter().find(|writer| writer.done);
            match memory.state() {
                Some(RangeState::Live) => memory.check(owner.map(|it| it.name), order),
                // What is reserved can be trimmed, and the tail must be traps; what is retired
                // becomes free.
                Some(RangeState::Reserved | RangeState::Retired) => memory.check(None, order),
                _ => {}
            }
        }
        if remover.taken.is_some() {
            assert_eq!(memory.state(), Some(RangeState::Retired), "{order:?}");
        }
        let outcome = if frees == 0 { "" } else { remover.outcome() };
        outcomes.insert((writers.map(|writer| writer.done), outcome));
    });
    assert_eq!(count, number_of_schedules(&steps));
    outcomes.into_iter().collect()
}

#[test]
fn of_two_that_finalize_the_same_image_one_does() {
    let outcomes = two_writers(false, false);
    assert_eq!(outcomes, [([false, true], ""), ([true, false], "")]);
}

#[test]
fn of_two_that_finalize_and_one_that_frees() {
    let outcomes = two_writers(false, true);
    // Freed during a copy, before the first one, after one.
    let wanted = [
        ([false, false], "doomed"),
        ([false, false], "freed"),
        ([false, true], "freed"),
        ([true, false], "freed"),
    ];
    assert_eq!(outcomes, wanted);
}

#[test]
fn after_a_copy_that_failed_another_may_succeed() {
    // The second comes too early, or not.
    let outcomes = two_writers(true, false);
    assert_eq!(outcomes, [([false, false], ""), ([false, true], "")]);
    let wanted = [
        ([false, false], "doomed"),
        ([false, false], "freed"),
        ([false, true], "freed"),
    ];
    assert_eq!(two_writers(true, true), wanted);
}
