// SPDX-License-Identifier: GPL-2.0

//! Units and positions: chunks, ranges of chunks, ranks and names of packs.

/// Bytes in a chunk, the unit of allocation.
///
/// 64 because the kernel finds an image's header by masking the address of its entry point with
/// this size (`bpf_jit_binary_pack_hdr()`).
pub const CHUNK_SIZE: usize = 64;

/// Bytes in a normal pack: the size of a block mapping where pages are 4 KiB.
pub const PACK_SIZE: usize = 2 << 20;

/// Chunks in a normal pack.
pub const PACK_CHUNKS: ChunkCount = ChunkCount(32_768);

/// The most chunks that one pack can have: 128 MiB less one chunk.
///
/// A node of the index of free runs (`runs.rs`) packs three lengths of 21 bits into one word. No
/// image comes near this length: a direct branch reaches 128 MiB.
pub const MAX_CHUNKS: ChunkCount = ChunkCount((1 << 21) - 1);

const _: () = assert!(CHUNK_SIZE.is_power_of_two());
const _: () = assert!(PACK_CHUNKS.as_usize() * CHUNK_SIZE == PACK_SIZE);
const _: () = assert!(
    usize::BITS >= u32::BITS,
    "a chunk number is used as an index"
);

/// The number of a chunk in its pack, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIdx(u32);

impl ChunkIdx {
    /// Makes the number of the chunk that has `index` chunks before it.
    #[inline]
    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Returns the chunk that holds the byte at `offset` of a pack, or [`None`] if no pack has that
    /// many bytes.
    #[inline]
    pub const fn from_byte_offset(offset: usize) -> Option<Self> {
        let index = offset / CHUNK_SIZE;
        if index < MAX_CHUNKS.as_usize() {
            // CAST: Below `MAX_CHUNKS`, which is a `u32`.
            Some(Self(index as u32))
        } else {
            None
        }
    }

    /// Returns the number of chunks before this one.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the offset of the chunk's first byte in its pack.
    #[inline]
    pub const fn byte_offset(self) -> usize {
        // CAST: `usize` has at least 32 bits.
        (self.0 as usize).saturating_mul(CHUNK_SIZE)
    }
}

/// Why no pack can hold an image of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSize {
    /// The size is 0.
    Empty,
    /// The size exceeds [`MAX_CHUNKS`].
    TooLarge,
}

/// A number of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkCount(u32);

impl ChunkCount {
    /// One chunk. As an alignment: every chunk will do.
    pub const ONE: Self = Self(1);

    /// Makes a count of `count` chunks; any number is allowed.
    #[inline]
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// Returns how many chunks `bytes` need.
    ///
    /// # Errors
    ///
    /// [`BadSize::Empty`] for 0 bytes, [`BadSize::TooLarge`] for more than any pack can hold.
    #[inline]
    pub const fn holding(bytes: usize) -> Result<Self, BadSize> {
        let count = bytes.div_ceil(CHUNK_SIZE);
        if count == 0 {
            Err(BadSize::Empty)
        } else if count > MAX_CHUNKS.as_usize() {
            Err(BadSize::TooLarge)
        } else {
            // CAST: At most `MAX_CHUNKS`, which is a `u32`.
            Ok(Self(count as u32))
        }
    }

    /// Returns the count as a number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the count as an index or a length.
    #[inline]
    pub const fn as_usize(self) -> usize {
        // CAST: `usize` has at least 32 bits.
        self.0 as usize
    }

    /// Returns the number of bytes in this many chunks.
    #[inline]
    pub const fn bytes(self) -> usize {
        self.as_usize().saturating_mul(CHUNK_SIZE)
    }
}

/// A run of chunks of one pack.
///
/// # Invariants
///
/// `count` is at least 1, and `start + count` is at most [`MAX_CHUNKS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkRange {
    start: ChunkIdx,
    count: ChunkCount,
}

impl ChunkRange {
    /// Makes the range of `count` chunks from `start` on, or [`None`] if it is empty or fits into
    /// no pack.
    #[inline]
    pub(crate) const fn new(start: ChunkIdx, count: ChunkCount) -> Option<Self> {
        match start.0.checked_add(count.0) {
            // INVARIANT: Both are checked here.
            Some(end) if count.0 > 0 && end <= MAX_CHUNKS.0 => Some(Self { start, count }),
            _ => None,
        }
    }

    /// Makes the range from `start` up to but not including `end`, or [`None`] as [`Self::new`].
    #[inline]
    pub(crate) fn between(start: u32, end: u32) -> Option<Self> {
        Self::new(ChunkIdx(start), ChunkCount(end.checked_sub(start)?))
    }

    /// Returns the first chunk, which identifies an allocated range in its pack.
    #[inline]
    pub const fn start(self) -> ChunkIdx {
        self.start
    }

    /// Returns the number of chunks, at least 1.
    #[inline]
    pub const fn count(self) -> ChunkCount {
        self.count
    }

    /// Returns the number after that of the last chunk.
    #[inline]
    pub const fn end(self) -> ChunkIdx {
        // By the type invariants this does not saturate.
        ChunkIdx(self.start.0.saturating_add(self.count.0))
    }
}

/// The caller's preference for a pack: a reservation goes to the pack of the best rank that has
/// room, among the ranks that the caller names ([`RankSet`]).
///
/// The caller decides what each rank means. The module uses them for the distance from the kernel's
/// text and the size of the leaves.
///
/// # Invariants
///
/// The number is below [`Rank::COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u8);

impl Rank {
    /// The number of ranks.
    pub const COUNT: u8 = 6;

    /// The rank that is tried first.
    // INVARIANT: 0 is below the count.
    pub const BEST: Self = Self(0);

    /// Makes a rank from a number, 0 for the best, or [`None`] from [`Rank::COUNT`] on.
    #[inline]
    pub const fn new(rank: u8) -> Option<Self> {
        if rank < Self::COUNT {
            // INVARIANT: Just checked.
            Some(Self(rank))
        } else {
            None
        }
    }

    /// Returns the rank's number, 0 for the best.
    #[inline]
    pub(crate) const fn get(self) -> u8 {
        self.0
    }

    /// Returns the rank's bit in a [`RankSet`].
    #[inline]
    const fn bit(self) -> u8 {
        1u8.wrapping_shl(self.0 as u32)
    }

    /// Visits all ranks, best first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).filter_map(Self::new)
    }
}

/// A set of ranks.
///
/// # Invariants
///
/// Bit `n` stands for rank `n`; no bit is set from [`Rank::COUNT`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RankSet(u8);

const _: () = assert!((Rank::COUNT as u32) < u8::BITS);

impl RankSet {
    /// No rank.
    // INVARIANT: No bit is set.
    pub const NONE: Self = Self(0);

    /// All ranks.
    // INVARIANT: Exactly the bits below the count are set.
    pub const ALL: Self = Self((1 << Rank::COUNT) - 1);

    /// Returns the set with `rank` added.
    #[inline]
    #[must_use]
    pub const fn with(self, rank: Rank) -> Self {
        // INVARIANT: A rank is below the count.
        Self(self.0 | rank.bit())
    }

    /// Returns the ranks that are in both sets.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        // INVARIANT: A bit that is set in both is below the count.
        Self(self.0 & other.0)
    }

    /// Tells whether `rank` is in the set.
    #[inline]
    pub const fn contains(self, rank: Rank) -> bool {
        self.0 & rank.bit() != 0
    }

    /// Visits the ranks in the set, best first.
    #[inline]
    pub(crate) fn iter(self) -> impl Iterator<Item = Rank> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            // CAST: At most 8, for an empty set. That is no rank.
            let rank = Rank::new(left.trailing_zeros() as u8);
            // Clears the lowest set bit.
            left &= left.wrapping_sub(1);
            rank
        })
    }
}

/// Slots of a pool that are neighbours. The caller puts packs there that have something in common,
/// such as the memory node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotRange {
    /// The first slot.
    pub start: u32,
    /// The number after that of the last slot.
    pub end: u32,
}

impl SlotRange {
    /// Every slot.
    pub const ALL: Self = Self {
        start: 0,
        end: u32::MAX,
    };

    /// Tells whether `slot` is one of them.
    #[inline]
    pub const fn contains(self, slot: u32) -> bool {
        self.start <= slot && slot < self.end
    }
}

/// The name of one pack of a pool, valid while the pool has that pack.
///
/// A pool uses a slot again after it has lost its pack. The generation makes sure that the old name
/// is then refused and does not name the new pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackId {
    slot: u32,
    /// Counts the packs that the slot has held; wraps around after 2^32 of them.
    generation: u32,
}

impl PackId {
    /// Makes a name; only a pool does.
    #[inline]
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Returns the slot. Callers use it as an index into their own data about packs.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// Returns the generation of the slot's pack: the number of packs that the slot had before.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_chunks() {
        let max = MAX_CHUNKS.as_usize() * CHUNK_SIZE;
        for (bytes, want) in [
            (0, Err(BadSize::Empty)),
            (1, Ok(1)),
            (63, Ok(1)),
            (64, Ok(1)),
            (65, Ok(2)),
            (128, Ok(2)),
            (PACK_SIZE, Ok(32_768)),
            (PACK_SIZE + 1, Ok(32_769)),
            (max, Ok(MAX_CHUNKS.get())),
            (max + 1, Err(BadSize::TooLarge)),
            (u32::MAX as usize, Err(BadSize::TooLarge)),
            (usize::MAX, Err(BadSize::TooLarge)),
        ] {
            let got = ChunkCount::holding(bytes).map(ChunkCount::get);
            assert_eq!(got, want, "{bytes} bytes");
        }
    }

    #[test]
    fn chunks_become_bytes() {
        assert_eq!(ChunkCount::new(0).bytes(), 0);
        assert_eq!(ChunkCount::ONE.bytes(), 64);
        assert_eq!(PACK_CHUNKS.bytes(), PACK_SIZE);
        assert_eq!(ChunkIdx::new(3).byte_offset(), 192);
    }

    #[test]
    fn byte_offsets_become_chunks() {
        let max = MAX_CHUNKS.as_usize();
        for (offset, want) in [
            (0, Some(0)),
            (63, Some(0)),
            (64, Some(1)),
            (max * CHUNK_SIZE - 1, Some(MAX_CHUNKS.get() - 1)),
            (max * CHUNK_SIZE, None),
            (usize::MAX, None),
        ] {
            assert_eq!(
                ChunkIdx::from_byte_offset(offset).map(ChunkIdx::get),
                want,
                "{offset}"
            );
        }
    }

    #[test]
    fn ranges_keep_their_invariants() {
        let max = MAX_CHUNKS.get();
        for (start, count, ok) in [
            (0, 0, false),
            (0, 1, true),
            (0, max, true),
            (0, max + 1, false),
            (1, max, false),
            (max - 1, 1, true),
            (max, 1, false),
            (u32::MAX, 1, false),
            (1, u32::MAX, false),
        ] {
            let range = ChunkRange::new(ChunkIdx::new(start), ChunkCount::new(count));
            assert_eq!(range.is_some(), ok, "{start} + {count}");
        }
    }

    #[test]
    fn a_range_knows_its_ends() {
        let range = ChunkRange::between(4, 7).unwrap();
        assert_eq!(range.end().get(), 7);
        assert_eq!((range.start().get(), range.count().get()), (4, 3));
        assert_eq!(ChunkRange::between(7, 4), None);
    }

    #[test]
    fn ranks_end() {
        assert_eq!(Rank::new(0), Some(Rank::BEST));
        assert!(Rank::new(Rank::COUNT - 1).is_some());
        assert_eq!(Rank::new(Rank::COUNT), None);
        assert_eq!(Rank::all().count(), 6);
    }

    #[test]
    fn sets_of_ranks() {
        for bits in 0..1u32 << Rank::COUNT {
            let wanted: Vec<Rank> = Rank::all()
                .filter(|rank| bits & (1 << rank.get()) != 0)
                .collect();
            // The order in which they come in does not matter, nor does one that comes twice.
            let set = wanted
                .iter()
                .rev()
                .fold(RankSet::NONE, |set, rank| set.with(*rank).with(*rank));
            assert!(set.iter().eq(wanted.iter().copied()), "{wanted:?}");
            assert!(set.iter().is_sorted());
            assert!(Rank::all().all(|rank| set.contains(rank) == wanted.contains(&rank)));
            assert_eq!(
                set == RankSet::ALL,
                wanted.len() == usize::from(Rank::COUNT)
            );
            assert_eq!(set == RankSet::NONE, wanted.is_empty());
        }
        for bits in 0..1u32 << (2 * Rank::COUNT) {
            let set = |bits: u32| {
                let ranks = Rank::all().filter(|rank| bits & (1 << rank.get()) != 0);
                ranks.fold(RankSet::NONE, RankSet::with)
            };
            let (one, two) = (bits, bits >> Rank::COUNT);
            assert_eq!(set(one).and(set(two)), set(one & two));
        }
        const TWO: RankSet = RankSet::NONE.with(Rank::BEST).with(Rank::BEST);
        assert_eq!(TWO.iter().collect::<Vec<_>>(), [Rank::BEST]);
    }

    #[test]
    fn ranges_of_slots() {
        let some = SlotRange { start: 2, end: 4 };
        let has = |range: SlotRange| {
            (0..6)
                .filter(|slot| range.contains(*slot))
                .collect::<Vec<_>>()
        };
        assert_eq!(has(some), [2, 3]);
        assert_eq!(has(SlotRange { start: 4, end: 2 }), []);
        assert_eq!(has(SlotRange::ALL).len(), 6);
    }
}
