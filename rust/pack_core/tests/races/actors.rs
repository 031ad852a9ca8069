// SPDX-License-Identifier: GPL-2.0

//! The writer and the remover of one image, and the memory that they change.

use crate::common;
use crate::common::HostPool;
use crate::reserve;
use pack_core::ChunkRange;
use pack_core::Error;
use pack_core::PackId;
use pack_core::RangeState;
use pack_core::Reserved;
use pack_core::Taken;
use pack_core::WriteEnd;

/// What is in a chunk: traps, or a part of somebody's image.
pub(crate) type Content = Option<&'static str>;

/// One image of a pool, the bytes of its one pack, and what the threads do to both.
pub(crate) struct Memory {
    pub(crate) pool: HostPool,
    pub(crate) pack: PackId,
    pub(crate) image: ChunkRange,
    pub(crate) bytes: Vec<Content>,
}

impl Memory {
    /// A full pack with one reserved image.
    pub(crate) fn reserved(count: u32) -> Self {
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

    pub(crate) fn state(&self) -> Option<RangeState> {
        let found = self.pool.find(self.pack, self.image.start());
        found.map(|(state, _)| state)
    }

    pub(crate) fn fill(&mut self, content: Content) {
        self.bytes.fill(content);
    }

    /// A live image, whoever made it, is whole.
    pub(crate) fn check(&self, owner: Content, order: &[usize]) {
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
pub(crate) struct Writer {
    step: usize,
    pub(crate) name: &'static str,
    fails: bool,
    /// It was let in.
    began: bool,
    /// Its image is live, or was.
    pub(crate) done: bool,
    /// Somebody freed the image during the copy: the traps are up to the writer.
    pub(crate) doomed: bool,
}

impl Writer {
    /// The beginning, two halves of the copy, the end, and what follows for an image that is
    /// doomed: the traps, and that they are visible.
    pub(crate) const STEPS: usize = 6;

    pub(crate) fn new(name: &'static str, fails: bool) -> Self {
        Self {
            step: 0,
            name,
            fails,
            began: false,
            done: false,
            doomed: false,
        }
    }

    pub(crate) fn step(&mut self, memory: &mut Memory) {
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
pub(crate) struct Remover {
    step: usize,
    /// It freed the image, and somebody fills it with traps.
    pub(crate) taken: Option<Taken>,
}

impl Remover {
    /// The beginning, the traps, and that they are visible.
    pub(crate) const STEPS: usize = 3;

    pub(crate) fn step(&mut self, memory: &mut Memory) {
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
    pub(crate) fn outcome(&self) -> &'static str {
        match self.taken {
            None => "refused",
            Some(Taken::Retiring(_)) => "freed",
            Some(Taken::Doomed(_)) => "doomed",
        }
    }
}
