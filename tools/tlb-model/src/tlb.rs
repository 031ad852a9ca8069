// SPDX-License-Identifier: GPL-2.0

//! The two TLB structures: fully associative and set associative, with true LRU or random
//! replacement, and the rules by which maintenance removes entries.

/// Replacement policy. Arm documents none, so figures are given for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The entry whose last use is longest ago.
    Lru,
    /// Any entry, from a generator with this seed.
    Random(u64),
}

/// A small seeded generator (splitmix64): runs must repeat exactly.
#[derive(Clone, Debug)]
struct Rng(u64);

impl Rng {
    /// A number below `n`; `n` must be below 2^32.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 32).wrapping_mul(n as u64) >> 32) as usize
    }
}

/// A cached translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First virtual address that it translates, aligned to its size.
    pub va: u64,
    /// Physical address of `va`.
    pub pa: u64,
    /// log2 of the bytes that it translates.
    pub shift: u32,
    /// log2 of the bytes of the leaf that it was made from: a block, a contiguous group, or four
    /// coalesced pages. Maintenance of any address in there removes the entry.
    pub leaf: u32,
    /// Whether it was coalesced from four pages.
    pub coalesced: bool,
    /// The address space that it belongs to, unless it is global.
    pub asid: u16,
    /// Whether it is valid in every address space.
    pub global: bool,
}

impl Entry {
    /// Whether it translates `va` in address space `asid`.
    pub fn hits(&self, va: u64, asid: u16) -> bool {
        (va ^ self.va) >> self.shift == 0 && (self.global || self.asid == asid)
    }

    /// The physical address of `va`, which it must translate.
    pub fn translate(&self, va: u64) -> u64 {
        self.pa.wrapping_add(va.wrapping_sub(self.va))
    }

    /// The part of it around `va` that has `shift` bits, or itself if it is no larger.
    pub fn part(&self, va: u64, shift: u32) -> Self {
        if shift >= self.shift {
            return *self;
        }
        let start = va & !((1u64 << shift) - 1);
        Self {
            va: start,
            pa: self.translate(start),
            shift,
            ..*self
        }
    }

    /// Whether maintenance removes it.
    pub fn dies(&self, kill: &Kill) -> bool {
        match *kill {
            Kill::All => true,
            Kill::Asid(asid) => !self.global && self.asid == asid,
            Kill::Range { first, last, asid } => {
                let mask = (1u64 << self.leaf) - 1;
                let (start, end) = (self.va & !mask, self.va | mask);
                start <= last
                    && first <= end
                    && asid.is_none_or(|asid| self.global || self.asid == asid)
            }
        }
    }
}

/// The entries that a maintenance operation removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Everything.
    All,
    /// The non-global entries of an address space.
    Asid(u16),
    /// Entries whose leaf overlaps the addresses.
    Range {
        /// First address.
        first: u64,
        /// Last address, inclusive.
        last: u64,
        /// Only entries of this address space and global ones; `None`: of any.
        asid: Option<u16>,
    },
}

/// An entry with the time of its last use; time 0 means empty.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The translation; meaningless while `used` is 0.
    entry: Entry,
    /// Time of the last use.
    used: u64,
}

/// An unused slot.
const EMPTY: Slot = Slot {
    entry: Entry {
        va: 0,
        pa: 0,
        shift: 12,
        leaf: 12,
        coalesced: false,
        asid: 0,
        global: false,
    },
    used: 0,
};

/// Chooses the slot of a new entry: an empty one, else by policy.
fn victim(slots: &[Slot], rng: &mut Option<Rng>) -> usize {
    // Empty slots have time 0, so the oldest slot is an empty one if there is any.
    let oldest = slots
        .iter()
        .enumerate()
        .min_by_key(|(_, slot)| slot.used)
        .map_or(0, |(i, _)| i);
    match rng {
        Some(rng) if slots.get(oldest).is_some_and(|slot| slot.used != 0) => rng.below(slots.len()),
        _ => oldest,
    }
}

/// The generator that a policy needs, for the structure numbered `salt`.
fn generator(policy: Policy, salt: u64) -> Option<Rng> {
    match policy {
        Policy::Lru => None,
        Policy::Random(seed) => Some(Rng(seed.wrapping_mul(0x1_0001).wrapping_add(salt))),
    }
}

/// Empties the slots that hold an entry which `kill` removes; returns how many.
fn sweep(slots: &mut [Slot], kill: &Kill) -> u64 {
    let mut killed = 0;
    for slot in slots {
        if slot.used != 0 && slot.entry.dies(kill) {
            slot.used = 0;
            killed += 1;
        }
    }
    killed
}

/// Number of hints; a power of two.
const HINTS: usize = 128;

/// A fully associative TLB.
#[derive(Clone, Debug)]
pub struct FullyAssociative {
    /// The entries.
    slots: Vec<Slot>,
    /// For each low page number, the slot in which its translation was last found. Only a short
    /// cut: a wrong hint costs a search.
    hints: [u16; HINTS],
    /// Time of the latest use.
    clock: u64,
    /// The generator of the random policy.
    rng: Option<Rng>,
}

impl FullyAssociative {
    /// An empty TLB of `entries` entries (at most 65,536); `salt` separates the random numbers of
    /// several structures with one seed.
    pub fn new(entries: usize, policy: Policy, salt: u64) -> Self {
        Self {
            slots: vec![EMPTY; entries],
            hints: [0; HINTS],
            clock: 0,
            rng: generator(policy, salt),
        }
    }

    /// Looks `va` up and marks the entry as used.
    pub fn lookup(&mut self, va: u64, asid: u16) -> Option<Entry> {
        let hint = &mut self.hints[(va >> 12) as usize % HINTS];
        let matches = |slot: &Slot| slot.used != 0 && slot.entry.hits(va, asid);
        let mut at = usize::from(*hint);
        if !self.slots.get(at).is_some_and(matches) {
            at = self.slots.iter().position(matches)?;
            *hint = at as u16;
        }
        self.clock += 1;
        let slot = self.slots.get_mut(at)?;
        slot.used = self.clock;
        Some(slot.entry)
    }

    /// Adds an entry, which replaces another one if the TLB is full.
    pub fn insert(&mut self, entry: Entry) {
        self.clock += 1;
        let at = victim(&self.slots, &mut self.rng);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot {
                entry,
                used: self.clock,
            };
            self.hints[(entry.va >> 12) as usize % HINTS] = at as u16;
        }
    }

    /// Removes what `kill` selects; returns how many entries.
    pub fn kill(&mut self, kill: &Kill) -> u64 {
        sweep(&mut self.slots, kill)
    }
}

/// A set-associative TLB that holds entries of all sizes; the set is chosen by the low bits of the
/// virtual address in units of the entry's size.
#[derive(Clone, Debug)]
pub struct SetAssociative {
    /// All sets, one after the other.
    slots: Vec<Slot>,
    /// Number of sets; a power of two.
    sets: usize,
    /// Entries per set.
    ways: usize,
    /// Bit n is set if an entry of 2^n bytes was ever added: the sizes that a lookup must probe.
    sizes: u64,
    /// Time of the latest use.
    clock: u64,
    /// The generator of the random policy.
    rng: Option<Rng>,
}

impl SetAssociative {
    /// An empty TLB of `sets` (a power of two) times `ways` entries; for `salt` see
    /// [`FullyAssociative::new`].
    pub fn new(sets: usize, ways: usize, policy: Policy, salt: u64) -> Self {
        Self {
            slots: vec![EMPTY; sets * ways],
            sets,
            ways,
            sizes: 0,
            clock: 0,
            rng: generator(policy, salt),
        }
    }

    /// The set for unit number `unit`.
    fn set(&mut self, unit: u64) -> &mut [Slot] {
        let first = (unit as usize & (self.sets - 1)) * self.ways;
        &mut self.slots[first..first + self.ways]
    }

    /// The entry sizes that were ever added, as shifts.
    fn shifts(&self) -> impl Iterator<Item = u32> {
        let sizes = self.sizes;
        (12..64).filter(move |&shift| (sizes >> shift) & 1 != 0)
    }

    /// Looks `va` up and marks the entry as used.
    pub fn lookup(&mut self, va: u64, asid: u16) -> Option<Entry> {
        self.clock += 1;
        let clock = self.clock;
        for shift in self.shifts() {
            for slot in self.set(va >> shift) {
                if slot.used != 0 && slot.entry.shift == shift && slot.entry.hits(va, asid) {
                    slot.used = clock;
                    return Some(slot.entry);
                }
            }
        }
        None
    }

    /// Adds an entry, which replaces another one if its set is full.
    pub fn insert(&mut self, entry: Entry) {
        self.clock += 1;
        let clock = self.clock;
        self.sizes |= 1 << entry.shift;
        let mut rng = self.rng.take();
        let set = self.set(entry.va >> entry.shift);
        let at = victim(set, &mut rng);
        if let Some(slot) = set.get_mut(at) {
            *slot = Slot { entry, used: clock };
        }
        self.rng = rng;
    }

    /// Removes what `kill` selects; returns how many entries.
    ///
    /// Entries are whole leaves here, so a short range needs only the sets that it falls into.
    pub fn kill(&mut self, kill: &Kill) -> u64 {
        let Kill::Range { first, last, .. } = *kill else {
            return sweep(&mut self.slots, kill);
        };
        let mut killed = 0;
        for shift in self.shifts() {
            let (low, high) = (first >> shift, last >> shift);
            if high.saturating_sub(low) >= self.sets as u64 {
                return killed + sweep(&mut self.slots, kill);
            }
            for unit in low..=high {
                killed += sweep(self.set(unit), kill);
            }
        }
        killed
    }
}

#[cfg(test)]
mod tests;
