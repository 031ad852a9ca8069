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

/// The content of a chunk: traps, or a part of somebody's image.
pub(crate) type Content = Option<&'static str>;

/// A pool with one image, and the bytes of its pack.
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

    /// Checks that all bytes of the image are those of `owner`.
    pub(crate) fn check(&self, owner: Content, order: &[usize]) {
        assert!(
            self.bytes.iter().all(|byte| *byte == owner),
            "{order:?}: the live image of {owner:?} is {:?}",
            self.bytes
        );
        pack_core::check_invariants(&self.pool).unwrap();
    }
}

/// A thread that finalizes the image, which another thread may have freed or finalized. If `fails`,
/// its copy fails in the middle.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    step: usize,
    pub(crate) name: &'static str,
    fails: bool,
    /// The pool let it begin.
    began: bool,
    /// Its image is or was live.
    pub(crate) done: bool,
    /// Another thread freed the image during the copy: this one has to write the traps.
    pub(crate) doomed: bool,
}

impl Writer {
    /// Beginning, two halves of the copy, end; then, for a doomed image, writing the traps and
    /// reporting that they are visible.
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
            // The pool would allow writing to a live image, but an image is finalized only once.
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
                // If the pool refused this, the harm would be done: `Memory::check` finds it in the
                // bytes.
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

/// A thread that frees the image. It leaves an image that is being written to the writer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Remover {
    step: usize,
    /// The answer of the pool, if the pool let it free the image.
    pub(crate) taken: Option<Taken>,
}

impl Remover {
    /// Beginning, writing the traps, reporting that they are visible.
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

    /// Returns a word for what it did.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.taken {
            None => "refused",
            Some(Taken::Retiring(_)) => "freed",
            Some(Taken::Doomed(_)) => "doomed",
        }
    }
}
