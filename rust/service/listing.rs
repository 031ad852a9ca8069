// SPDX-License-Identifier: GPL-2.0

//! Listing all packs with their images, a few at a time.
//!
//! The lock of the books is held for one group of images. So a list is not a snapshot: images come
//! and go between two groups. A place in the list needs no memory and nothing that has to be undone:
//! whoever reads the list may stop anywhere.

#![deny(unsafe_code)]

use super::answers::PackReport;
use super::Service;
use crate::plan::MAX_PACKS;
use pack_core::{
    ChunkIdx,
    PackId,
    RangeState,
    CHUNK_SIZE,
    MAX_CHUNKS, //
};

/// The most images in a group. Their lines fit several times in the page that a file of text has.
const GROUP: usize = 16;

/// The bits of the number of a [`Cursor`] for the place in a pack, and for the pack's generation. A
/// file has this number as an offset, which is never negative.
const ITEM_BITS: u32 = 22;
const GENERATION_BITS: u32 = 31;
const ITEM_MASK: u32 = (1 << ITEM_BITS) - 1;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

const _: () = assert!(MAX_CHUNKS.get() < ITEM_MASK);
const _: () = assert!(MAX_PACKS < 1 << (u64::BITS - 1 - ITEM_BITS - GENERATION_BITS));

/// A place in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    slot: u32,
    /// 0 is the place of the pack itself; `n + 1` that of its first image from chunk `n` on.
    item: u32,
    /// The lower bits of the generation of the pack whose images these are.
    generation: u32,
}

impl Cursor {
    /// Returns the place with this number, or [`None`] if that is behind the end of the list. The
    /// list begins at 0.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        // CAST: The masks have fewer than 32 bits, and the slot is below `MAX_PACKS`.
        let item = number as u32 & ITEM_MASK;
        let generation = (number >> ITEM_BITS) as u32 & GENERATION_MASK;
        let slot = number >> (ITEM_BITS + GENERATION_BITS);
        (slot < MAX_PACKS as u64).then_some(Self {
            slot: slot as u32,
            item,
            generation,
        })
    }

    /// Returns the number of the place. It grows along the list, but for the generations.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.slot) << (ITEM_BITS + GENERATION_BITS)
            | u64::from(self.generation) << ITEM_BITS
            | u64::from(self.item)
    }

    /// The place of the pack in the next slot.
    fn next_slot(self) -> Self {
        Self {
            slot: self.slot.saturating_add(1),
            item: 0,
            generation: 0,
        }
    }

    /// The place behind the images before `chunk` of a pack.
    fn inside(id: PackId, chunk: ChunkIdx) -> Self {
        Self {
            slot: id.slot(),
            item: chunk.get().saturating_add(1),
            generation: id.generation() & GENERATION_MASK,
        }
    }

    /// Returns the chunk of the pack `id` from which on to list. [`None`] if the place is in another
    /// pack, or at the end of this one.
    fn chunk(self, id: PackId) -> Option<ChunkIdx> {
        let start = ChunkIdx::from_byte_offset(0)?;
        match self.item.checked_sub(1) {
            None => Some(start),
            Some(chunk) => ChunkIdx::from_byte_offset((chunk as usize).saturating_mul(CHUNK_SIZE))
                .filter(|chunk| Self::inside(id, *chunk) == self),
        }
    }
}

/// An image in the list.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    pub(crate) address: usize,
    /// The size of its chunks.
    pub(crate) bytes: usize,
    pub(crate) state: RangeState,
}

/// A part of the list: up to [`GROUP`] images of one pack, as they were at one time.
pub(crate) struct Group {
    /// The pack, if the list of its images begins here.
    pub(crate) pack: Option<PackReport>,
    images: [Image; GROUP],
    /// The number of images.
    len: usize,
    /// Where the list goes on.
    pub(crate) next: Cursor,
}

impl Group {
    fn new(next: Cursor) -> Self {
        let none = Image {
            address: 0,
            bytes: 0,
            state: RangeState::Reserved,
        };
        Self {
            pack: None,
            images: [none; GROUP],
            len: 0,
            next,
        }
    }

    /// The images, in ascending order of their addresses.
    pub(crate) fn images(&self) -> &[Image] {
        self.images.get(..self.len).unwrap_or_default()
    }
}

impl Service {
    /// Lists what is at a place. It has no images if there is no pack, or if the pack of this place
    /// is gone; the list goes on all the same.
    pub(crate) fn list(&self, at: Cursor) -> Group {
        let mut group = Group::new(at.next_slot());
        let books = self.books();
        let Some(id) = books.pool.id_of_slot(at.slot) else {
            return group;
        };
        let (Some(chunk), Some(pack)) = (at.chunk(id), books.pool.pack(id)) else {
            return group;
        };
        if at.item == 0 {
            group.pack = books.report(id);
        }
        let base = books.region(id).map_or(0, |region| region.address());
        let mut end = chunk;
        for (image, (state, range)) in group.images.iter_mut().zip(pack.ranges_from(chunk)) {
            *image = Image {
                address: base.saturating_add(range.start().byte_offset()),
                bytes: range.count().bytes(),
                state,
            };
            end = range.end();
            group.len = group.len.saturating_add(1);
        }
        if group.len == GROUP {
            group.next = Cursor::inside(id, end);
        }
        group
    }
}
