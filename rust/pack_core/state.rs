// SPDX-License-Identifier: GPL-2.0

//! The states of a range, their encoding, and what the steps between them return.

use crate::geometry::ChunkRange;

/// The state of a range that is not free.
///
/// ```text
/// Free --reserve--> Reserved --begin_write--> Writing --finalize--> Live
///  ^                 |     ^                   | | ^               |  |
///  |                 |     +----abort_write----+ | +--begin_write--+  |
///  |                 |                           |                    |
///  |                 |                      begin_retire              |
///  |                 |                           v                    |
///  |                 |                         Doomed                 |
///  |                 |                           |                    |
///  |                 |                finalize or abort_write         |
///  |                 |                           v                    |
///  |                 +------begin_retire---> Retiring <--begin_retire-+
///  |                                             |
///  |                                          retired
///  |                                             v
///  +---release--- Syncing <---begin_batch--- Retired
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RangeState {
    /// Handed out but not final. The bytes are still traps, and nobody may branch there.
    Reserved = 0b001,
    /// One task is copying an image there. No other task may write to the range.
    Writing = 0b011,
    /// The bytes are an image, and programs run there.
    Live = 0b010,
    /// Freed while a task was writing. That task retires the range when its copy ends.
    Doomed = 0b111,
    /// Freed. One task is filling the range with traps.
    Retiring = 0b100,
    /// Every CPU sees the traps, but may still execute instructions that it fetched before.
    Retired = 0b101,
    /// As [`Retired`](Self::Retired), and a synchronisation of all CPUs is under way that began
    /// after the traps were visible.
    Syncing = 0b110,
}

impl RangeState {
    /// All states, in the order of a range's life.
    pub const ALL: [Self; 7] = [
        Self::Reserved,
        Self::Writing,
        Self::Live,
        Self::Doomed,
        Self::Retiring,
        Self::Retired,
        Self::Syncing,
    ];

    /// Returns the state's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Writing => "writing",
            Self::Live => "live",
            Self::Doomed => "doomed",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Syncing => "syncing",
        }
    }

    /// Returns the state's bits in the planes A, B and C, from the lowest up.
    ///
    /// C is set once the image was freed. With C, A alone means [`Retired`](Self::Retired) and B
    /// alone means [`Syncing`](Self::Syncing), so that a batch can begin and end whole words at a
    /// time. These steps skip ranges without C, and ranges with all three bits
    /// ([`Doomed`](Self::Doomed)), which a task may still be writing to.
    #[inline]
    pub(crate) const fn code(self) -> u8 {
        // CAST: That is how the variants are numbered.
        self as u8
    }

    /// Returns the state with these bits; [`None`] if no bit is set.
    #[inline]
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0b001 => Some(Self::Reserved),
            0b011 => Some(Self::Writing),
            0b010 => Some(Self::Live),
            0b111 => Some(Self::Doomed),
            0b100 => Some(Self::Retiring),
            0b101 => Some(Self::Retired),
            0b110 => Some(Self::Syncing),
            _ => None,
        }
    }
}

/// Who has to fill a freed range with traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "somebody has to fill a retiring range with traps"]
pub enum Taken {
    /// The caller: now. It then calls [`Pool::retired`](crate::Pool::retired).
    Retiring(ChunkRange),
    /// The task that is writing there, when its copy ends: see [`WriteEnd::Doomed`].
    Doomed(ChunkRange),
}

/// What happened to a range while a task wrote to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "whoever wrote to a doomed range has to fill it with traps"]
pub enum WriteEnd {
    /// Nobody freed it.
    Kept,
    /// Somebody freed it: it is [`Retiring`](RangeState::Retiring) now. The caller fills it with
    /// traps and then calls [`Pool::retired`](crate::Pool::retired).
    Doomed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_code_of_its_own() {
        let states: Vec<Option<RangeState>> = (0..8)
            .map(|code| {
                let state = RangeState::from_code(code);
                assert!(state.is_none_or(|state| state.code() == code), "{code:?}");
                state
            })
            .collect();
        assert_eq!(RangeState::from_code(8), None);
        // Seven states and "no range starts here" share the eight codes.
        for state in RangeState::ALL {
            assert!(states.contains(&Some(state)), "{state:?}");
        }
        assert_eq!(states.iter().filter(|state| state.is_none()).count(), 1);
    }

    #[test]
    fn every_state_has_a_name_of_its_own() {
        let mut names = RangeState::ALL.map(RangeState::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }
}
