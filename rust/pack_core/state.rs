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
pub enum RangeState {
    /// Handed out but not final. The bytes are still traps, and nobody may branch there.
    Reserved,
    /// One task is copying an image there. No other task may write to the range.
    Writing,
    /// The bytes are an image, and programs run there.
    Live,
    /// Freed while a task was writing. That task retires the range when its copy ends.
    Doomed,
    /// Freed. One task is filling the range with traps.
    Retiring,
    /// Every CPU sees the traps, but may still execute instructions that it fetched before.
    Retired,
    /// As [`Retired`](Self::Retired), and a synchronisation of all CPUs is under way that began
    /// after the traps were visible.
    Syncing,
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

    /// Returns the state's bits in the planes A, B and C.
    ///
    /// C is set once the image was freed. With C, A alone means [`Retired`](Self::Retired) and B
    /// alone means [`Syncing`](Self::Syncing), so that a batch can begin and end whole words at a
    /// time. These steps skip ranges without C, and ranges with all three bits
    /// ([`Doomed`](Self::Doomed)), which a task may still be writing to.
    #[inline]
    pub(crate) const fn code(self) -> (bool, bool, bool) {
        match self {
            Self::Reserved => (true, false, false),
            Self::Writing => (true, true, false),
            Self::Live => (false, true, false),
            Self::Doomed => (true, true, true),
            Self::Retiring => (false, false, true),
            Self::Retired => (true, false, true),
            Self::Syncing => (false, true, true),
        }
    }

    /// Returns the state with these bits; [`None`] if no bit is set.
    #[inline]
    pub(crate) const fn from_code(code: (bool, bool, bool)) -> Option<Self> {
        match code {
            (true, false, false) => Some(Self::Reserved),
            (true, true, false) => Some(Self::Writing),
            (false, true, false) => Some(Self::Live),
            (true, true, true) => Some(Self::Doomed),
            (false, false, true) => Some(Self::Retiring),
            (true, false, true) => Some(Self::Retired),
            (false, true, true) => Some(Self::Syncing),
            (false, false, false) => None,
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
        let bits = [false, true];
        let codes = bits.map(|a| bits.map(|b| bits.map(|c| (a, b, c))));
        let states = codes.as_flattened().as_flattened().iter();
        let states: Vec<Option<RangeState>> = states
            .map(|code| {
                let state = RangeState::from_code(*code);
                assert!(state.is_none_or(|state| state.code() == *code), "{code:?}");
                state
            })
            .collect();
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
